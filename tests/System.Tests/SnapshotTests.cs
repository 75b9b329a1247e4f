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
        _chain.Start(["up", .. Chain.Small, "--set", $"cached.policy={policy}", "--set", "cached.dirty-age=200ms"]);
        var hashes = new Dictionary<string, string>();
        for (int i = 0; i < Snapshots; i++)
        {
            long before = _chain.ClientRequests();
            var fio = _chain.BeginFio("demo", "--rw=randwrite", "--size=48m", "--io_size=48m", "--fsync=256", "--verify_fatal=1", $"--randseed={i}");
            _chain.WaitFor(() => _chain.ClientRequests() >= before + 1000, "fio");
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
            CheckAll(hashes);
        }

        Assert.Equal(hashes.Count, hashes.Values.Distinct().Count());
        Delete("demo@s0");
        hashes.Remove("demo@s0");
        CheckAll(hashes);

        // As the store has them, without what the cache still held.
        _chain.Run("down").Good();
        _chain.Start(["up", .. Chain.Small, "--set", $"cached.policy={policy}"]);
        CheckAll(hashes);
        _chain.Run("volume", "clone", "demo@s9", "clone").Good();
        Assert.Equal(hashes["demo@s9"], Hash("clone"));
        _chain.Run("down").Good();
    }

    private void CheckAll(Dictionary<string, string> hashes) => Assert.All(hashes, each => Assert.Equal(each.Value, Hash(each.Key)));

    private string Hash(string export) => _chain.Execute("/bin/bash", "-o", "pipefail", "-c", $"nbdcopy --no-extents '{_chain.Uri(export)}' - | sha256sum").Good().Output;

    /// <summary>The gateway may be about to close it.</summary>
    private void Delete(string snapshot) => _chain.WaitFor(() => _chain.Run("volume", "delete", snapshot).Code == 0, $"the deletion of {snapshot}");
}
