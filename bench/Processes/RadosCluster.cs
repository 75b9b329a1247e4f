using System.Diagnostics;
using System.Globalization;

namespace Archipelago.Experiments.Processes;

/// <summary>A one-node RADOS by deploy/dev-rados.sh, in a directory of its own that goes with it.</summary>
internal sealed class RadosCluster : IDisposable
{
    private readonly string _script;
    private readonly string _directory = $"/dev/shm/archipelago-rados-{Environment.ProcessId}";

    internal RadosCluster(string script, string store)
    {
        _script = script;
        // A bluestore lies on a sparse file; on tmpfs it would measure RAM, so it goes where temporary files are.
        if (store == "bluestore") _directory = Path.Combine(Path.GetTempPath(), Path.GetFileName(_directory));
        Environment.SetEnvironmentVariable("STORE", store);
        Environment.SetEnvironmentVariable("POOL", Pool);
        Environment.SetEnvironmentVariable("MONPORT", "41300");
        // Its daemons inherit the script's stdout, so it is not read to its end here.
        using var process = Process.Start(new ProcessStartInfo("bash", [_script, "start", _directory]))!;
        process.WaitForExit();
        if (process.ExitCode != 0) throw new ExperimentException($"{_script} start {_directory}: exit code {process.ExitCode}");
        foreach (string daemon in new[] { "mon.a", "osd.0" }) ProcessTree.Adopt(PidOf(daemon));
    }

    /// <summary>Name of the pool.</summary>
    internal static string Pool => "archipelago";
    /// <summary>Path of the cluster's configuration.</summary>
    internal string Conf => Path.Combine(_directory, "ceph.conf");
    /// <summary>Directory for files that go with the cluster.</summary>
    internal string DirectoryPath => _directory;
    /// <summary>CPU seconds of the OSD so far.</summary>
    internal double OsdCpu => Measure.CpuMeter.Of(PidOf("osd.0"));

    /// <summary>Writes a configuration for librbd with a cache of so many bytes, write-back from the first write on.</summary>
    internal string RbdConf(long cacheBytes)
    {
        string path = Path.Combine(_directory, $"rbd-{cacheBytes}.conf");
        File.WriteAllText(path, File.ReadAllText(Conf) + string.Create(CultureInfo.InvariantCulture,
            $"""

            [client]
            rbd_cache = true
            rbd_cache_policy = writeback
            rbd_cache_writethrough_until_flush = false
            rbd_cache_size = {cacheBytes}
            rbd_cache_max_dirty = {cacheBytes * 3 / 4}
            rbd_cache_target_dirty = {cacheBytes / 4}
            rbd_cache_max_dirty_age = 5

            """));
        return path;
    }

    /// <summary>Writes a configuration for librbd without a cache.</summary>
    internal string RbdConfWithoutCache()
    {
        string path = Path.Combine(_directory, "rbd-none.conf");
        File.WriteAllText(path, File.ReadAllText(Conf) + "\n[client]\nrbd_cache = false\n");
        return path;
    }

    public void Dispose()
    {
        using var process = Process.Start(new ProcessStartInfo("bash", [_script, "stop", _directory]))!;
        process.WaitForExit();
        Directory.Delete(_directory, recursive: true);
    }

    private int PidOf(string daemon) => int.Parse(File.ReadAllText(Path.Combine(_directory, daemon + ".pid")), CultureInfo.InvariantCulture);
}
