using System.Diagnostics;
using System.Runtime.InteropServices;
using Xunit;

namespace Archipelago.Librados.Tests;

/// <summary>A real one-node RADOS of deploy/dev-rados.sh in a directory of its own under /tmp.</summary>
public partial class DevCluster : IDisposable
{
    private const int SignalStop = 19;
    private const int SignalContinue = 18;

    public DevCluster(string store, string authentication = "none")
    {
        Directory = System.IO.Directory.CreateTempSubdirectory("archipelago-rados-").FullName;
        for (int attempt = 1; ; attempt++)
        {
            // Below the kernel's range of ephemeral ports, so that only another cluster can be in the way.
            MonitorPort = 20000 + (Random.Shared.Next(180) * 64);
            Outcome outcome = Script(
                "start", Directory, ("STORE", store), ("MONPORT", $"{MonitorPort}"), ("AUTH", authentication));
            if (outcome.ExitCode == 0)
                return;
            if (attempt < 20 && outcome.Error.Contains("is in use"))
                continue;
            Dispose();
            throw new InvalidOperationException(
                "No RADOS to test against. tests/run.sh installs what the tests need. " + outcome.Error);
        }
    }

    public string Directory { get; }

    public int MonitorPort { get; private set; }

    public string ConfigFile => Path.Combine(Directory, "ceph.conf");

    public static string Pool => "archipelago";

    public void KillOsd() => MustSucceed("kill-osd");

    public void StartOsd() => MustSucceed("start-osd");

    /// <summary>Stops the OSD's threads: it answers nothing, and its connections stay.</summary>
    /// <summary>Stops the OSD. A signal is only on its way when kill(2) returns: on a busy machine threads go on for a while, and answer.</summary>
    public void Freeze()
    {
        Signal(SignalStop);
        Assert.True(SpinWait.SpinUntil(IsStopped, TimeSpan.FromSeconds(60)), "the OSD does not stop");
    }

    public void Thaw() => Signal(SignalContinue);

    public void MustSucceed(string command)
    {
        Outcome outcome = Script(command, Directory);
        Assert.True(outcome.ExitCode == 0, $"dev-rados.sh {command}: {outcome.Error}");
    }

    public void Dispose()
    {
        GC.SuppressFinalize(this);
        Script("stop", Directory);
        System.IO.Directory.Delete(Directory, recursive: true);
    }

    public static Outcome Script(string command, string directory, params (string Name, string Value)[] environment)
    {
        var info = new ProcessStartInfo(ScriptPath)
        {
            ArgumentList = { command, directory },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string value) in environment)
            info.Environment[name] = value;
        using Process process = Process.Start(info)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return new Outcome(process.ExitCode, output, error.Result);
    }

    private static string ScriptPath
    {
        get
        {
            for (var d = new DirectoryInfo(AppContext.BaseDirectory); d is not null; d = d.Parent)
            {
                string path = Path.Combine(d.FullName, "deploy", "dev-rados.sh");
                if (File.Exists(path))
                    return path;
            }
            throw new FileNotFoundException("deploy/dev-rados.sh is in no directory above " + AppContext.BaseDirectory);
        }
    }

    private int Osd => int.Parse(File.ReadAllText(Path.Combine(Directory, "osd.0.pid")));

    private void Signal(int signal) => Assert.Equal(0, kill(Osd, signal));

    private bool IsStopped()
    {
        foreach (string thread in System.IO.Directory.EnumerateDirectories($"/proc/{Osd}/task"))
        {
            string stat;
            try
            {
                stat = File.ReadAllText(Path.Combine(thread, "stat"));
            }
            catch (IOException)
            {
                // It has ended.
                continue;
            }

            // The name may hold anything, brackets too.
            if (stat[stat.LastIndexOf(')') + 2] != 'T') return false;
        }

        return true;
    }

    [LibraryImport("libc")]
    private static partial int kill(int pid, int signal);

    public readonly record struct Outcome(int ExitCode, string Output, string Error);
}

/// <summary>The cluster that most tests share: in memory, fast.</summary>
public sealed class MemoryCluster() : DevCluster("memstore");

[CollectionDefinition(Name)]
public sealed class MemoryClusterGroup : ICollectionFixture<MemoryCluster>
{
    public const string Name = "a RADOS in memory";
}
