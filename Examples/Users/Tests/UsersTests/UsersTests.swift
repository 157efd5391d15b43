// SPDX-License-Identifier: Apache-2.0

import Testing

/// All tests, one after the other: two explorations that record their schedules at the same time disturb each other.
@Suite(.serialized) enum UsersTests {}
