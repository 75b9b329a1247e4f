using Archipelago.Experiments.Measure;
using Archipelago.Experiments.Processes;

namespace Archipelago.Experiments.Experiments.Volumes;

/// <summary>An image of librbd's, written all over, with a protected snapshot; each run gets a clone of it.</summary>
internal sealed class RbdClones
{
    private const string Image = "image", Snapshot = Image + "@s";

    private readonly RadosCluster _cluster;
    private int _clones;

    internal RbdClones(RadosCluster cluster, long bytes)
    {
        _cluster = cluster;
        // Layering alone: taking the exclusive lock and keeping an object map would come on top of a first write.
        Rbd("create", "--size", $"{bytes}B", "--object-size", "4M", "--image-feature", "layering", Image);
        Environment.SetEnvironmentVariable("CEPH_CONF", cluster.Conf);
        Tool.Output("fio", ["--name=fill", "--rw=write", "--bs=4m", "--iodepth=4", "--refill_buffers", "--end_fsync=1", $"--size={bytes}", .. Target(Image)]);
        Rbd("snap", "create", "--no-progress", Snapshot);
        Rbd("snap", "protect", Snapshot);
    }

    /// <summary>Measures a clone with the given configuration of librbd; it is removed afterwards.</summary>
    internal Figures Run(string conf, Func<IEnumerable<string>, Figures> measure)
    {
        string clone = $"clone{_clones++}";
        Rbd("clone", "--image-feature", "layering", $"{RadosCluster.Pool}/{Snapshot}", $"{RadosCluster.Pool}/{clone}");
        // The engine has no option for the file.
        Environment.SetEnvironmentVariable("CEPH_CONF", conf);
        var figures = measure(Target(clone));
        Rbd("rm", "--no-progress", clone);
        return figures;
    }

    private static string[] Target(string image) => ["--ioengine=rbd", "--clientname=admin", $"--pool={RadosCluster.Pool}", $"--rbdname={image}"];

    private void Rbd(params string[] command) => Tool.Output("rbd", ["-c", _cluster.Conf, "-p", RadosCluster.Pool, .. command]);
}
