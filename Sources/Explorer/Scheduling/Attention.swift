// SPDX-License-Identifier: Apache-2.0

/// What an exploration observes beyond the steps themselves.
///
/// Everything starts off, because it costs time or adds executions. The first execution that needs
/// something asks for it, and the next one has it.
struct Attention: Equatable, Codable {
    /// Data races on plain memory.
    var races = false
    /// The values of atomic variables: some step depends on the value that it finds.
    var words = false
    /// Conflicts between the jobs of tasks and everything else: there is a second task.
    var jobs = false
    /// Names of threads: the program asks for one.
    var names = false
    /// Whether what threads wait on is older than the execution: one waits there for ever.
    var waits = false
    var steps = StepDetail()
}

/// Which more things are steps than at first.
struct StepDetail: Equatable, Codable {
    /// The releases of objects of these types: what comes of the last one can be seen.
    var types = TypeSet()
    /// The start of a thread: the program asks which threads there are.
    var threads = false
    /// The start or resumption of a task: the order of that and what follows can be observed.
    var creations = false
    /// Each operation of Substrate: an operation of a primitive touches more than one step can say.
    var isFine = false
    /// Rules `creations` out: a thread holds a lock over one that is not Substrate's, which keeps
    /// other fibers out for good.
    var forbidsCreations = false
}

extension Scheduler {
    /// Whether the last execution met something that it did not observe.
    var mustRepeat: Bool { wanted != attention }

    /// Whether releases are steps.
    var hasReferenceSteps: Bool { !wanted.steps.types.isEmpty }

    /// Whether schedules have other steps, or other conflicts, from the next execution on.
    var mustStartAnew: Bool {
        wanted.steps != attention.steps || wanted.jobs != attention.jobs
            || wanted.words != attention.words
    }
}
