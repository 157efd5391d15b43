import Explorer
import Scenarios
@main struct M { static func main() throws {
  let a = CommandLine.arguments
  var o = ExplorationOptions(strategy: a.count > 3 && a[3] == "dfs" ? .depthFirst : .optimal); o.stopsAtFirstFailure = false
  if a[1] == "check" {
    for s in Story.all where a.count < 3 || a[2] == s.name {
      do {
      let r = try s.exploration(options: o).run()
      print(s.isAsExpected(r) ? "✓" : "✗✗✗", s.name, s.found(in: r), r.executions, "blocked", r.blocked, r.verdicts, r.coverage, r.seconds)
      if a.count > 2 || !s.isAsExpected(r), let c = r.counterexample { print(TraceRenderer(TraceStyle(title: s.name, location: "", replay: "\(c.token)")).render(c)) }
      } catch { print(s.name, error) }
    }
    return
  }
  let r = try Family.named(a[1])!.exploration(try FamilySize(a[2]), options: o).run()
  print(a[1], a[2], r.executions, "blocked", r.blocked, "dead", r.deadlocked, "failed", r.failed, r.coverage, r.seconds, Double(r.executions)/r.seconds)
  if let c = r.counterexample { print(TraceRenderer(TraceStyle(title: a[1], location: "", replay: "\(c.token)")).render(c)) }
} }
