using Archipelago.Experiments;
using Archipelago.Experiments.Experiments;
using Archipelago.Experiments.Experiments.Volumes;
using Archipelago.Experiments.Measure;
using Archipelago.Experiments.Processes;
using Archipelago.Experiments.Roles;

const string Usage = """
    usage: experiments NAME [options]      (use bench/run.sh, which builds and installs first)

    NAME: hop, peak, nbd, rados, maps
      --quick        short runs, 3 rounds: a smoke test, no figure to quote
      --rounds N     rounds of each comparison, default 7
      --seconds S    length of one run
      --results DIR  where NAME.json and NAME.svg go, default bench/results
      --only TEXT    peak, nbd, rados, maps: only cells whose name contains it
      --segments DIR where segments are made, default /dev/shm; a tmpfs mounted with huge=advise gives huge pages
      --filed DIR    maps: where filed's objects lie, default /dev/shm
      --store NAME   rados, maps: memstore (default) or bluestore
      --rados SCRIPT rados, maps: path of deploy/dev-rados.sh
    """;

if (args is ["role", "serve", ..]) return ServeRole.Run(args[2..]);
if (args is ["role", "overhead", ..]) return OverheadRole.Run(args[2..]);
if (args is ["role", "echo", ..]) return EchoRole.Run(args[2..]);
try
{
    var settings = Settings.Parse(args);
    MachineState.Segments = Settings.Segments;
    Console.WriteLine($"{settings.Name}: {MachineState.Describe()}");
    Directory.CreateDirectory(settings.Results);
    var report = settings.Name switch
    {
        "hop" => Hop.Run(settings),
        "peak" => Peak.Run(settings),
        "nbd" => NbdServers.Run(settings),
        "rados" => OverRados.Run(settings),
        "maps" => VolumeMaps.Run(settings),
        _ => throw new UsageException($"experiment '{settings.Name}': expected hop, peak, nbd, rados or maps"),
    };
    return report.Finish(settings.Results) ? 0 : 3;
}
catch (UsageException e)
{
    Console.Error.WriteLine($"experiments: {e.Message}\n{Usage}");
    return 2;
}
catch (ExperimentException e)
{
    Console.Error.WriteLine($"experiments: {e.Message}");
    return 1;
}
