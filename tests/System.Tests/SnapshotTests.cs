using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>Snapshots of a volume that is being written: the volume is not disturbed, and they never change.</summary>
public sealed class SnapshotTests : IDisposable
{
    private const int Snapshots = 10;

    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Theory]
    [InlineData("writeback")]
    [InlineData("writethrough")]
    public void Ten_snapshots_under_a_verified_load_stay_as_they_are_while_the_volume_changes_and_their_neighbours_go(string policy)
    {
        // Small: most of the test is hashes of all of it. Of eight objects six are written.
        string[] up = ["up", .. Chain.Small, "--set", "up.first-volume-size=32M", "--set", $"cached.policy={policy}"];
        _chain.Start([.. up, "--set", "cached.dirty-age=200ms"]);
        var hashes = new Dictionary<string, string>();
        for (int i = 0; i < Snapshots; i++)
        {
            long before = _chain.ClientRequests();
            var fio = _chain.BeginFio("demo", "--rw=randwrite", "--size=24m", "--io_size=24m", "--fsync=256", "--verify_fatal=1", $"--randseed={i}");
            _chain.WaitFor(() => _chain.ClientRequests() >= before + 500, "fio");
            string name = $"demo@s{i}";
            _chain.Run("volume", "snapshot", name).Good();
            // While the volume goes on being written.
            hashes.Add(name, Hash(name));
            Assert.Equal(hashes[name], Hash(name));
            if (i % 3 == 2)
            {
                // Of three neighbours the one between goes.
                Delete($"demo@s{i - 1}");
                hashes.Remove($"demo@s{i - 1}");
            }

            var outcome = fio.End();
            Assert.True(outcome.Code == 0, outcome.Output + outcome.Error + _chain.Log);
            if (i % 3 == 2) CheckAll(hashes);
        }

        Assert.Equal(hashes.Count, hashes.Values.Distinct().Count());
        Delete("demo@s0");
        hashes.Remove("demo@s0");
        CheckAll(hashes);

        // As the store has them, without what the cache still held.
        _chain.Run("down").Good();
        _chain.Start(up);
        CheckAll(hashes);
        _chain.Run("volume", "clone", "demo@s9", "clone").Good();
        Assert.Equal(hashes["demo@s9"], Hash("clone"));
        _chain.Run("down").Good();
    }

    [Fact]
    public void Holes_of_a_clone_are_told_truly_while_the_cache_holds_what_was_written()
    {
        _chain.Start(["up", .. Chain.Small, "--set", "cached.dirty-age=1h", "--set", "cached.policy=writeback"]);
        Qemu("demo", "write -P 1 0 8M", "write -P 2 16M 4k", "flush");
        Assert.Equal("0+8388608d 8388608+8388608h 16777216+4194304d 20971520+46137344h", Map("demo"));
        _chain.Run("volume", "snapshot", "demo@one").Good();
        _chain.Run("volume", "clone", "demo@one", "clone").Good();
        Assert.Equal(Map("demo"), Map("clone"));
        Qemu("clone", "discard 4M 4M", "write -P 3 8M 512", "write -z 16M 4M", "write -P 4 60M 4M", "discard 60M 4M", "write -P 5 56M 4k");
        CheckClone();
        _chain.Run("down").Good();
        // From the store alone.
        _chain.Start(["up", .. Chain.Small]);
        CheckClone();
        _chain.Run("down").Good();
    }

    private void CheckClone()
    {
        // What was zeroed as a whole may be a hole.
        Assert.Contains(Map("clone"), (string[])
        [
            "0+4194304d 4194304+4194304h 8388608+4194304d 12582912+46137344h 58720256+4194304d 62914560+4194304h",
            "0+4194304d 4194304+4194304h 8388608+4194304d 12582912+4194304h 16777216+4194304d 20971520+37748736h 58720256+4194304d 62914560+4194304h",
        ]);
        Qemu("clone", "read -P 1 0 4M", "read -P 0 4M 4M", "read -P 3 8M 512", "read -P 0 9M 47M", "read -P 5 56M 4k", "read -P 0 60M 4M");
        Qemu("demo@one", "read -P 1 0 8M", "read -P 2 16M 4k", "read -P 0 20M 44M");
    }

    [Fact]
    public void A_client_that_is_connected_uses_the_new_size_and_has_an_error_behind_a_smaller_one()
    {
        _chain.Start(["up", .. Chain.Small]);
        var client = _chain.Begin("/usr/bin/python3", "-c", """
            import errno, sys, nbd
            h = nbd.NBD()
            h.set_strict_mode(0)
            h.connect_uri(sys.argv[1])
            def attempt(what):
                try:
                    what()
                    return 0
                except nbd.Error as e:
                    return e.errno
            for line in sys.stdin:
                size = int(line)
                print("sees", h.get_size() >> 20, attempt(lambda: h.pwrite(b"x" * 4096, size - 4096)), attempt(lambda: h.pread(4096, size - 4096)),
                      attempt(lambda: h.pwrite(b"x" * 4096, size)), attempt(lambda: h.pread(4096, size)), flush=True)
            """, _chain.Uri("demo"));
        long size = 64;
        int round = 0;
        foreach (long next in (long[])[64, 100, 200, 32, 48])
        {
            if (next != size) _chain.Run(["volume", "resize", "demo", $"{next}M", .. next < size ? new[] { "--shrink" } : []]).Good();
            size = next;
            client.Type($"{next << 20}");
            client.WaitForOutput("sees", ++round);
            Assert.Equal($"{next << 20}", _chain.Execute("nbdinfo", "--size", _chain.Uri("demo")).Good().Output.Trim());
        }

        var end = client.End();
        Assert.All(end.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries), line => Assert.Equal("sees 64 0 0 ENOSPC EINVAL", line));
        Assert.True(end.Code == 0, end.Error);
        _chain.Run("down").Good();
    }

    private void CheckAll(Dictionary<string, string> hashes) => Assert.All(hashes, each => Assert.Equal(each.Value, Hash(each.Key)));

    private string Hash(string export) => _chain.Execute("/bin/bash", "-o", "pipefail", "-c", $"nbdcopy --no-extents '{_chain.Uri(export)}' - | sha256sum").Good().Output;

    private void Qemu(string export, params string[] commands)
    {
        string[] readOnly = export.Contains('@', StringComparison.Ordinal) ? ["-r"] : [];
        var outcome = _chain.Execute("qemu-io", ["-d", "unmap", "-f", "raw", .. readOnly, _chain.Uri(export), .. commands.SelectMany(c => (string[])["-c", c])]).Good();
        Assert.DoesNotContain("fail", outcome.Output + outcome.Error, StringComparison.Ordinal);
    }

    private string Map(string export)
    {
        var extents = new List<(long From, long Length, char Kind)>();
        foreach (var extent in _chain.Execute("qemu-img", "map", "-f", "raw", "--output=json", _chain.Uri(export)).Good().Json.EnumerateArray())
        {
            char kind = extent.GetProperty("data").GetBoolean() ? 'd' : 'h';
            Assert.Equal(kind == 'h', extent.GetProperty("zero").GetBoolean());
            long from = extent.GetProperty("start").GetInt64(), length = extent.GetProperty("length").GetInt64();
            if (extents.Count > 0 && extents[^1].Kind == kind) extents[^1] = (extents[^1].From, extents[^1].Length + length, kind);
            else extents.Add((from, length, kind));
        }

        return string.Join(' ', extents.Select(extent => $"{extent.From}+{extent.Length}{extent.Kind}"));
    }

    /// <summary>The gateway may be about to close it.</summary>
    private void Delete(string snapshot) => _chain.WaitFor(() => _chain.Run("volume", "delete", snapshot).Code == 0, $"the deletion of {snapshot}");
}
