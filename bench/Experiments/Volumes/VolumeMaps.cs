using Archipelago.Experiments.Measure;
using Archipelago.Experiments.Processes;

namespace Archipelago.Experiments.Experiments.Volumes;

/// <summary>What maps of volumes cost: on the data path, at a clone's first writes, with many clones, with size, and in memory.</summary>
internal static class VolumeMaps
{
    internal static Report Run(Settings settings)
    {
        var report = new Report(
            "maps", $"maps of volumes: overhead of a hit, first writes to a clone, 100 clones of an image, volumes from 1 GiB to 10 TiB, 1,000 open volumes; filed on {Settings.Objects}, RADOS on one node ({settings.Store})",
            settings.Quick);
        if (settings.Wants(Overhead.Read) || settings.Wants(Overhead.Write)) Overhead.Run(report, settings);
        if (settings.Wants(Sizes.Cell)) Sizes.Run(report, settings);
        if (settings.Wants(OpenVolumes.Cell)) OpenVolumes.Run(report, settings);
        if (settings.Wants(Clones.OnFiled)) WithFiled(stores => Clones.Run(report, settings, Clones.OnFiled, stores));
        if (settings.Wants(Clones.OnRados) || settings.Wants(CopyUp.Cell)) OnCluster(report, settings);
        return report;
    }

    private static void OnCluster(Report report, Settings settings)
    {
        MachineState.Uses("ceph", "--version");
        MachineState.Uses("fio", "--version");
        using var cluster = new RadosCluster(settings.RadosScript, settings.Store);
        if (settings.Wants(Clones.OnRados)) Clones.Run(report, settings, Clones.OnRados, Store.Radosd(cluster, "clones"));
        if (settings.Wants(CopyUp.Cell)) WithFiled(filed => CopyUp.Run(report, settings, cluster, filed, Store.Radosd(cluster, "copyup")));
    }

    /// <summary>A filed's directory that goes when the work is done.</summary>
    internal static void WithFiled(Action<Store> work)
    {
        string directory = Path.Combine(Settings.Objects, $"archipelago-experiment-{Environment.ProcessId}-objects");
        try
        {
            work(Store.Filed(directory));
        }
        finally
        {
            if (Directory.Exists(directory)) Directory.Delete(directory, recursive: true);
        }
    }
}
