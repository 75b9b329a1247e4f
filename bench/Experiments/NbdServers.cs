using System.Globalization;
using Archipelago.Experiments.Measure;
using Archipelago.Experiments.Processes;

namespace Archipelago.Experiments.Experiments;

/// <summary>4 KiB over NBD, hits: our chain in one process against nbdkit's memory plug-in and qemu-nbd on a file in tmpfs.</summary>
internal static class NbdServers
{
    private const long VolumeBytes = 256 << 20;
    private const string Nbdkit = "nbdkit memory", Qemu = "qemu-nbd tmpfs", OverMemd = "archipelago memd", OverFiled = "archipelago filed";

    private static readonly TimeSpan Spin = TimeSpan.FromMicroseconds(50);

    private sealed record Server(string Name, string Uri, Func<double> Cpu);

    internal static Report Run(Settings settings)
    {
        MachineState.Uses("fio", "--version");
        MachineState.Uses("nbdkit", "--version");
        MachineState.Uses("qemu-nbd", "--version");
        Console.WriteLine($"  {MachineState.Describe()}");
        var report = new Report("nbd", "fio's nbd engine, 4 KiB random over 256 MiB, Unix socket, all hits; client on core 0, server on core 1 for all sides; archipelago: nbd, vlmcd, cached, blocker in one process, write-back, usual destaging, spin 50 µs", settings.Quick);
        string directory = Directory.CreateDirectory($"/dev/shm/archipelago-experiment-{Environment.ProcessId}-nbd").FullName;
        try
        {
            using var memd = OurChain("memd,cached,mapperd,vlmcd,nbd", directory, "memd");
            using var filed = OurChain("filed,cached,mapperd,vlmcd,nbd", directory, "filed", $"filed.directory={directory}/objects");
            using var nbdkit = Start("nbdkit", "-f", "-U", $"{directory}/nbdkit.sock", "memory", $"{VolumeBytes}");
            File.WriteAllBytes($"{directory}/raw", []);
            Tool.Output("truncate", "-s", $"{VolumeBytes}", $"{directory}/raw");
            using var qemu = Start("qemu-nbd", "-k", $"{directory}/qemu.sock", "-f", "raw", "-t", "-e", "16", $"{directory}/raw");
            Server[] servers =
            [
                new(OverMemd, Uri(directory, "memd", "bench"), () => memd.Stats().Cpu),
                new(OverFiled, Uri(directory, "filed", "bench"), () => filed.Stats().Cpu),
                new(Nbdkit, Uri(directory, "nbdkit", ""), () => nbdkit.CpuSeconds),
                new(Qemu, Uri(directory, "qemu", ""), () => qemu.CpuSeconds),
            ];
            nbdkit.WaitUntil(() => Tool.Succeeds("nbdinfo", "--size", servers[2].Uri), "listening");
            qemu.WaitUntil(() => Tool.Succeeds("nbdinfo", "--size", servers[3].Uri), "listening");
            foreach (var server in servers)
                Tool.Output("fio", "--name=fill", "--ioengine=nbd", $"--uri={server.Uri}", "--rw=write", "--bs=1m", "--iodepth=4", $"--size={VolumeBytes}", "--thread");
            Measure(report, settings, servers);
            memd.Stop();
            filed.Stop();
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        return report;
    }

    private static Chain OurChain(string peers, string directory, string name, params string[] settings)
    {
        var chain = new Chain(peers, Settings.ServerCore, Spin, 262_144 + 65_536, ["cached.size=1G", "cached.policy=writeback", $"nbd.socket={directory}/{name}.sock", .. settings]);
        chain.MakeVolume("bench", VolumeBytes);
        chain.SetWriteBack("bench");
        return chain;
    }

    private static Daemon Start(params string[] command) => new("taskset", ["-c", $"{Settings.ServerCore}", .. command]);

    private static string Uri(string directory, string socket, string export) => $"nbd+unix:///{export}?socket={directory}/{socket}.sock";

    private static void Measure(Report report, Settings settings, Server[] servers)
    {
        var length = settings.Length(3, 1);
        var ratios = new Dictionary<string, List<double[]>> { [OverMemd] = [], [OverFiled] = [] };
        foreach (int connections in new[] { 1, 4 })
            foreach (int depth in new[] { 1, 32 })
                foreach (string op in new[] { "randread", "randwrite" })
                {
                    string cell = $"{op[4..]} depth {depth}, {connections} conn";
                    if (!settings.Wants(cell)) continue;
                    var series = report.Add(settings.Runner.Run(cell, [.. servers.Select(server => new Side(server.Name, () => Once(server, op, depth, connections, length)))]));
                    string best = Quartiles.Of(series.Of(Nbdkit, "rate")).Median >= Quartiles.Of(series.Of(Qemu, "rate")).Median ? Nbdkit : Qemu;
                    foreach (var (ours, all) in ratios)
                    {
                        all.Add([.. series.Rounds.Select(round => round[ours]["rate"] / round[best]["rate"])]);
                        report.Add(new Figure($"{cell}: {ours} / {best}", series.Ratio(ours, best, "rate"), "×", ours == OverMemd ? 0.85 : null));
                    }

                    foreach (string side in series.Sides)
                    {
                        report.Add(new Figure($"{cell}: {side}, IOPS", Quartiles.Of(series.Of(side, "rate")), "/s"));
                        report.Add(new Figure($"{cell}: {side}, CPU per million, client", Quartiles.Of(series.Of(side, "cpuBench")), "s"));
                        report.Add(new Figure($"{cell}: {side}, CPU per million, server", Quartiles.Of(series.Of(side, "cpuServer")), "s"));
                    }
                }

        // Round by round, over the cells.
        foreach (var (ours, all) in ratios)
        {
            var means = Enumerable.Range(0, all[0].Length).Select(round => Math.Exp(all.Average(cell => Math.Log(cell[round]))));
            report.Add(new Figure($"{ours} / better of nbdkit and qemu-nbd, geometric mean", Quartiles.Of(means), "×", ours == OverMemd ? 1.0 : null));
        }

        string[] cells = [.. report.Series.Select(series => series.Cell)];
        Plot.Bars(Path.Combine(settings.Results, "nbd.svg"), "4 KiB over NBD: I/Os per second, median of rounds, quartiles", "k I/Os per second", cells,
            [.. servers.Select(server => server.Name)], (cell, side) => Quartiles.Of(report.Series.First(series => series.Cell == cell).Of(side, "rate")), 1e3);
    }

    private static Figures Once(Server server, string op, int depth, int connections, TimeSpan length)
    {
        double cpu = server.Cpu();
        var figures = Fio.Run(length, Settings.ClientCore, "--ioengine=nbd", $"--uri={server.Uri}", $"--rw={op}", $"--iodepth={depth}",
            $"--numjobs={connections}", string.Create(CultureInfo.InvariantCulture, $"--size={VolumeBytes}"), "--norandommap");
        figures["cpuServer"] = (server.Cpu() - cpu) * 1e6 / figures["requests"];
        return figures;
    }
}
