using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>`volume create --from-objects` by the command.</summary>
public sealed class FromObjectsTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void A_volume_is_made_of_objects_that_a_file_lists_and_refusals_name_the_line()
    {
        _chain.Start(["up", .. Chain.Small, "--set", "segment.spare=16384"]);
        // The benchmark leaves objects of its own.
        _chain.Run("bench", "--op", "write", "--objects", "3", "--total", "32M", "--block-size", "1M", "--keep").Good();
        _chain.Run("cache", "flush").Good();
        string[] made = [.. Directory.EnumerateFiles(Path.Combine(_chain.State, "objects"), "bench.*", SearchOption.AllDirectories).Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal)];
        Assert.NotEmpty(made);
        string list = _chain.Write("list", $"{made[0]}\n-\n{made[^1]}\n\n");
        var info = _chain.Run("volume", "create", "vm", "--from-objects", list, "--json").Good().Json;
        Assert.Equal(16 << 20, info.GetProperty("size").GetInt32());
        Assert.Equal(20 << 20, _chain.Run("volume", "create", "larger", "20M", "--from-objects", list, "--json").Good().Json.GetProperty("size").GetInt32());
        var map = _chain.Run("volume", "map", "vm", "--json").Good().Json.GetProperty("chunks")[0].GetProperty("runs");
        Assert.Equal([true, false, true, false], map.EnumerateArray().Select(run => run.GetProperty("present").GetBoolean()));
        Assert.Equal(0, _chain.Run("volume", "fsck", "--objects").Code);

        Refused(1, "line 2 of the list", "volume", "create", "no", "--from-objects", _chain.Write("gone", $"{made[0]}\ngone\n"));
        Refused(1, "ENOENT", "volume", "create", "no", "--from-objects", "/nowhere/list");
        Refused(1, "EEXIST", "volume", "create", "vm", "--from-objects", list);
        Refused(1, "clone a snapshot", "volume", "create", "no", "--from-objects", _chain.Write("own", "n.vm\n"));
        Refused(1, "names no object", "volume", "create", "no", "--from-objects", _chain.Write("nothing", ""));
        Refused(2, "SIZE is missing", "volume", "create", "no");
        Assert.DoesNotContain("no ", _chain.Run("volume", "list", "--flat").Good().Output, StringComparison.Ordinal);
    }

    private void Refused(int code, string why, params string[] command)
    {
        var outcome = _chain.Run(command);
        Assert.Equal(code, outcome.Code);
        Assert.Contains(why, outcome.Error, StringComparison.Ordinal);
    }
}
