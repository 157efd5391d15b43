// SPDX-License-Identifier: Apache-2.0

public import QuiesceStories

/// The stories that the source texts tell.
public enum Catalogue: StoryCatalog {
    public static let stories =
        DevmHarmful.stories + EventfdNotifierRace.stories + WorkqueueSelfFree.stories
    public static let commandName = "quiesce"
}
