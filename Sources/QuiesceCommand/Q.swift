import Explorer
import Scenarios
@main struct M { static func main() throws {
  let a = CommandLine.arguments
  var o = ExplorationOptions(strategy: a.count > 3 && a[3] == "dfs" ? .depthFirst : .optimal); o.stopsAtFirstFailure = false
  let r = try Family.named(a[1])!.exploration(try FamilySize(a[2]), options: o).run()
  print(a[1], a[2], r.executions, "blocked", r.blocked, "dead", r.deadlocked, "failed", r.failed, r.coverage, r.seconds, Double(r.executions)/r.seconds)
  if let c = r.counterexample { print(TraceRenderer(TraceStyle(title: a[1], location: "", replay: "\(c.token)")).render(c)) }
} }
