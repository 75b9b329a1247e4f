using System.Collections.Concurrent;
using System.Security.Cryptography;
using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>A real file system, without a guest: ext4 on a loop device on nbdfuse. Needs root, /dev/fuse and loop devices.</summary>
public sealed class FileSystemTests : IDisposable
{
    private readonly Chain _chain = new();
    private readonly Stack<Action> _undo = [];

    public void Dispose()
    {
        Detach();
        _chain.Dispose();
    }

    [Fact]
    public void Ext4_keeps_its_files_over_a_restart_of_the_chain_is_clean_and_trims()
    {
        Need();
        string[] up = ["up", .. Chain.Small, "--set", "up.first-volume-size=256M"];
        var chain = _chain.Start(up);
        string device = Attach();
        _chain.Execute("mkfs.ext4", "-q", device).Good();
        string folder = Mount(device);
        var sums = new Dictionary<string, string>();
        var random = new Random(7);
        for (int i = 0; i < 60; i++)
        {
            var content = new byte[random.Next(1, i % 10 == 0 ? 6 << 20 : 100_000)];
            random.NextBytes(content);
            string name = $"d{i % 7}/file{i}";
            Directory.CreateDirectory(Path.Combine(folder, $"d{i % 7}"));
            using var file = File.Create(Path.Combine(folder, name));
            file.Write(content);
            file.Flush(flushToDisk: true);
            sums[name] = Convert.ToHexString(SHA256.HashData(content));
        }

        File.Delete(Path.Combine(folder, "d0/file0"));
        sums.Remove("d0/file0");
        Detach();
        CheckClean();
        _chain.Run("down").Good();
        chain.WaitForExit();
        Assert.Equal(0, chain.ExitCode);

        _chain.Start(up);
        CheckClean();
        folder = Mount(Attach());
        CheckFiles(folder, sums);
        string[] objects = [Path.Combine(_chain.State, "objects")];
        long before = Blocks(objects[0]);
        foreach (string file in Directory.EnumerateFiles(folder, "file*", SearchOption.AllDirectories)) File.Delete(file);
        _chain.Execute("sync", "-f", folder).Good();
        Assert.Matches("[1-9][0-9]* bytes\\) trimmed", _chain.Execute("fstrim", "-v", folder).Good().Output);
        Detach();
        CheckClean();
        _chain.Run("down").Good();
        Assert.True(Blocks(objects[0]) < before / 2, $"what was trimmed is free in the store: {before} bytes before, {Blocks(objects[0])} after");
    }

    [Fact]
    public async Task Clones_of_snapshots_that_were_made_under_load_mount_are_clean_and_have_what_was_synced_before()
    {
        Need();
        _chain.Start(["up", .. Chain.Small, "--set", "up.first-volume-size=256M"]);
        string device = Attach();
        _chain.Execute("mkfs.ext4", "-q", device).Good();
        var synced = new ConcurrentDictionary<string, string>();
        var snapshots = new Dictionary<string, Dictionary<string, string>>();
        using (var end = new CancellationTokenSource())
        {
            string mounted = Mount(device);
            var load = Task.Run(() => Load(mounted, synced, end.Token));
            for (int i = 0; i < 3; i++)
            {
                int enough = (i + 1) * 40;
                _chain.WaitFor(() => load.IsCompleted || synced.Count >= enough, "files that are synced");
                Assert.False(load.IsCompleted, load.Exception?.ToString());
                // What is synced by now must be in it; what comes while it is made may be.
                var before = synced.ToDictionary();
                _chain.Run("volume", "snapshot", $"demo@s{i}").Good();
                snapshots.Add($"s{i}", before);
            }

            await end.CancelAsync();
            await load;
        }

        Detach();
        foreach (var (snapshot, files) in snapshots)
        {
            _chain.Run("volume", "clone", $"demo@{snapshot}", snapshot).Good();
            // The journal is replayed by the first mount, as after a power failure.
            CheckFiles(Mount(Attach(snapshot)), files);
            Detach();
            CheckClean(snapshot);
            CheckFiles(Mount(Attach(snapshot)), files);
            Detach();
        }

        CheckClean();
        CheckFiles(Mount(Attach()), synced.ToDictionary());
        Detach();
        _chain.Run("down").Good();
    }

    /// <summary>Files that are written once and synced; beside them others that come, change and go.</summary>
    private static void Load(string folder, ConcurrentDictionary<string, string> synced, CancellationToken end)
    {
        var random = new Random(11);
        Directory.CreateDirectory(Path.Combine(folder, "churn"));
        for (int i = 0; !end.IsCancellationRequested && i < 5000; i++)
        {
            var content = new byte[random.Next(1, i % 10 == 0 ? 1 << 20 : 20_000)];
            random.NextBytes(content);
            // They share their places on the disk with what the churn leaves.
            string name = $"file{i}", churn = Path.Combine(folder, "churn", $"{i % 16}");
            if (i < 400)
            {
                using var file = File.Create(Path.Combine(folder, name));
                file.Write(content);
                file.Flush(flushToDisk: true);
                synced[name] = Convert.ToHexString(SHA256.HashData(content));
            }

            if (i % 3 == 0) File.Delete(churn);
            File.WriteAllBytes(churn, content);
        }

        while (!end.IsCancellationRequested) Thread.Sleep(1);
    }

    private static void CheckFiles(string folder, IReadOnlyDictionary<string, string> files) =>
        Assert.All(files, each => Assert.Equal(each.Value, Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(Path.Combine(folder, each.Key))))));

    private static void Need() => Assert.True(Environment.UserName == "root" && File.Exists("/dev/fuse") && File.Exists("/dev/loop-control"),
        "this test needs root, /dev/fuse and /dev/loop-control, which this machine or container does not give");

    private long Blocks(string folder) => long.Parse(_chain.Execute("du", "-s", "-B1", folder).Good().Output.Split('\t')[0]);

    private string Attach(string volume = "demo")
    {
        string folder = Path.Combine(_chain.Root, "fuse");
        Directory.CreateDirectory(folder);
        string file = Path.Combine(folder, "nbd");
        var fuse = _chain.Begin("nbdfuse", file, _chain.Uri(volume));
        _undo.Push(() =>
        {
            _chain.Execute("fusermount3", "-u", folder).Good();
            fuse.End().Good();
        });
        _chain.WaitFor(() => fuse.HasExited || File.Exists(file), "nbdfuse");
        Assert.False(fuse.HasExited, $"nbdfuse ended: {fuse.Error}");
        string device = _chain.Execute("losetup", "--direct-io=on", "--find", "--show", file).Good().Output.Trim();
        _undo.Push(() =>
        {
            _chain.Execute("losetup", "--detach", device).Good();
            // The kernel does it when the last user is gone, udev for example.
            _chain.WaitFor(() => !File.Exists($"/sys/block/{Path.GetFileName(device)}/loop/backing_file"), "the end of the loop device");
        });
        return device;
    }

    private string Mount(string device)
    {
        string folder = Path.Combine(_chain.Root, "mnt");
        Directory.CreateDirectory(folder);
        _chain.Execute("mount", "-t", "ext4", device, folder).Good();
        _undo.Push(() => _chain.Execute("umount", folder).Good());
        return folder;
    }

    private void CheckClean(string volume = "demo")
    {
        var check = _chain.Execute("fsck.ext4", "-f", "-n", Attach(volume));
        Assert.True(check.Code == 0, check.Output + check.Error);
        Detach();
    }

    private void Detach()
    {
        while (_undo.TryPop(out var undo)) undo();
    }
}
