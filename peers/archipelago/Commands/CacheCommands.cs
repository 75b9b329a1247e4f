using System.Text.Json.Nodes;
using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;

namespace Archipelago.Cli.Commands;

/// <summary>`cache …`.</summary>
internal static class CacheCommands
{
    private static readonly string[] Policies = ["default", "writeback", "writethrough", "off"];

    internal static IEnumerable<CliCommand> Table(CliOption[] client) =>
    [
        new("cache", "the cache"),
        new("cache stats", "show what is cached, by volume") { Options = client, Run = StatsAsync },
        new("cache flush", "make what was written stable in the store")
        {
            Arguments = [new("VOLUME", "Volume to flush; all if it is not given.", Minimum: 0)],
            Options = client,
            Run = FlushAsync,
        },
        new("cache policy", "show or change how a volume is cached")
        {
            Description =
            [
                "writeback answers a write when the cache holds it: a crash of the host loses what was not flushed. writethrough answers when the store has it. "
                    + "off caches nothing. default is what [cached] says. The policy holds as long as the segment.",
            ],
            Arguments = [new("VOLUME", "The volume."), new("POLICY", "The policy; shows the present one if it is not given.", Minimum: 0, Words: Policies)],
            Options =
            [
                .. client,
                new("--safe-until-flush", "YES|NO", "Whether writeback holds only after the first FLUSH since the volume was opened, which proves that its user flushes.", Words: ["yes", "no"]),
            ],
            Run = PolicyAsync,
        },
    ];

    private static async Task<int> StatsAsync(Invocation invocation, CancellationToken cancel)
    {
        var report = await Common.AskAsync(invocation, c => c.GetAsync("/v1/cache", DaemonJson.Default.CacheReport, cancel));
        if (invocation.Json)
        {
            Invocation.WriteJson(report, DaemonJson.Default.CacheReport);
            return ExitCode.Ok;
        }

        foreach (var (cache, section) in report.Caches)
            if (section is JsonObject values)
                Invocation.WriteFields(values.Where(v => v.Value is JsonValue).Select(v => ($"{cache}.{v.Key}", v.Value!.ToString())));
        ShowFlows(report.Flows);
        return ExitCode.Ok;
    }

    private static void ShowFlows(IEnumerable<FlowInfo> flows) => Invocation.WriteTable(
        ["VOLUME", ">CACHED", ">DIRTY", "POLICY", "SAFE UNTIL FLUSH", "HAS FLUSHED", "DEGRADED"],
        flows.Select(f => (string[])
            [f.Name, Invocation.Size(f.CachedPages * 4096.0), Invocation.Size(f.DirtyPages * 4096.0), f.Policy, YesNo(f.SafeUntilFlush), YesNo(f.HasFlushed), YesNo(f.Degraded)]));

    private static async Task<int> FlushAsync(Invocation invocation, CancellationToken cancel)
    {
        var request = new FlushRequest(invocation.Argument("VOLUME"));
        var report = await Common.AskAsync(invocation, c => c.PostAsync("/v1/cache/flush", request, DaemonJson.Default.FlushRequest, DaemonJson.Default.FlushReport, cancel));
        if (invocation.Json) Invocation.WriteJson(report, DaemonJson.Default.FlushReport);
        else Invocation.Write($"stable after {Invocation.Nanoseconds(report.Seconds * 1e9)}");
        return ExitCode.Ok;
    }

    private static async Task<int> PolicyAsync(Invocation invocation, CancellationToken cancel)
    {
        string policy = invocation.Argument("POLICY");
        if (policy.Length > 0 && !Policies.Contains(policy)) throw new UsageException($"POLICY: expected {string.Join(", ", Policies)}, found {policy}");
        bool? safe = invocation.Get("--safe-until-flush") switch
        {
            null => null,
            "yes" => true,
            "no" => false,
            string other => throw new UsageException($"--safe-until-flush: expected yes or no, found {other}"),
        };
        var change = new FlowChange(policy.Length > 0 ? policy : null, safe);
        var flow = await Common.AskAsync(invocation, c => c.PutAsync(
            "/v1/cache/flows/" + Uri.EscapeDataString(invocation.Argument("VOLUME")), change, DaemonJson.Default.FlowChange, DaemonJson.Default.FlowInfo, cancel));
        if (invocation.Json) Invocation.WriteJson(flow, DaemonJson.Default.FlowInfo);
        else ShowFlows([flow]);
        return ExitCode.Ok;
    }

    private static string YesNo(bool value) => value ? "yes" : "no";
}
