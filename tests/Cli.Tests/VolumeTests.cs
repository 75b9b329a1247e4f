using System.Text.Json;
using System.Text.RegularExpressions;

using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>Volumes, snapshots and clones by the commands, on a chain whose store is memory.</summary>
public sealed class VolumeTests : IDisposable
{
    private const string Config = "[memd]\n[cached]\nsize = 32M\n[mapperd]\n[vlmcd]\n[nbd]\n[segment]\nspare = 4096\n";
    private readonly Chain _chain = new();

    public VolumeTests() => _chain.Start("up", "--config", _chain.Write("c.conf", Config));

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void The_list_is_a_tree_of_volumes_snapshots_and_clones_and_flat_for_scripts()
    {
        Family();
        string[] lines = Lines("volume", "list");
        Assert.Equal(["base", "├─ @s1", "│  └─ c1", "│     └─ @x", "│        └─ c2", "└─ @s2"], lines[1..].Select(Head));
        Assert.Equal(["base", "c1", "c2"], Lines("volume", "list", "--flat")[1..].Select(line => line.Split(' ')[0]));
        var json = Json("volume", "list").GetProperty("volumes");
        Assert.Equal(["base", "c1", "c2"], json.EnumerateArray().Select(v => v.GetProperty("name").GetString()));
        Assert.Equal(["s1", "s2"], json[0].GetProperty("snapshots").EnumerateArray().Select(s => s.GetProperty("name").GetString()));
        Assert.Equal("c1", json[0].GetProperty("snapshots")[0].GetProperty("clones")[0].GetString());
        foreach (string[] list in (string[][])[["volume", "list"], ["volume", "list", "--flat"]])
            Assert.Equal([null, "base@s1", "c1@x"], Json(list).GetProperty("volumes").EnumerateArray().Select(v => v.GetProperty("base").GetString()));
        // As it is to be typed, not as \u002B.
        Assert.Contains("\"nbd+unix:///c1?", _chain.Run("volume", "list", "--json").Good().Output, StringComparison.Ordinal);

        static string Head(string line) => Regex.Match(line, "^(.*?) +[0-9]+ [KMG]iB ").Groups[1].Value;
    }

    [Fact]
    public void Info_tells_of_volumes_and_of_snapshots_all_that_is_known()
    {
        Family();
        var info = Json("volume", "info", "c1");
        Assert.Equal("base@s1", info.GetProperty("base").GetString());
        Assert.Equal(4, info.GetProperty("objects").GetInt32());
        Assert.Equal(16, info.GetProperty("id").GetString()!.Length);
        Assert.Equal("free", info.GetProperty("lock").GetProperty("state").GetString());
        var snapshot = Json("volume", "info", "base@s1");
        Assert.Equal("base@s1", snapshot.GetProperty("name").GetString());
        Assert.Equal(16 << 20, snapshot.GetProperty("size").GetInt32());
        string text = _chain.Run("volume", "info", "base").Good().Output;
        foreach (string field in (string[])["id", "size", "objects", "lock", "openers", "snapshot"]) Assert.Matches($"(?m)^{field} ", text);
        Refused("ENOENT", "base@no", "volume", "info", "base@no");
        Refused("ENOENT", "nobody", "volume", "info", "nobody");
    }

    [Fact]
    public void What_still_has_dependents_is_not_deleted_and_says_which()
    {
        Family();
        Refused("EBUSY", "s1", "volume", "delete", "base");
        Refused("EBUSY", "c1", "volume", "delete", "base@s1");
        Refused("EBUSY", "flatten or delete", "volume", "delete", "base", "--snapshots");
        Refused("EEXIST", "base@s1", "volume", "snapshot", "base@s1");
        Refused("ENOENT", "base@no", "volume", "clone", "base@no", "c9");
        Refused("EBUSY", "has snapshots", "volume", "flatten", "c1");
        _chain.Run("volume", "delete", "c2").Good();
        _chain.Run("volume", "delete", "c1", "--snapshots").Good();
        _chain.Run("volume", "delete", "base", "--snapshots").Good();
        _chain.WaitFor(() => Lines("volume", "list").Length == 1, "the removal of all");
    }

    [Fact]
    public void An_option_that_a_command_does_not_have_becomes_no_volume()
    {
        Family();
        foreach (string[] command in (string[][])[["volume", "create", "--flat", "1G"], ["volume", "clone", "base@s1", "-f"], ["volume", "rename", "base", "--force"]])
        {
            var wrong = _chain.Run(command);
            Assert.Equal(2, wrong.Code);
            Assert.Contains("does not start with a dash", wrong.Error, StringComparison.Ordinal);
        }

        Assert.Equal(["base", "c1", "c2"], Lines("volume", "list", "--flat")[1..].Select(line => line.Split(' ')[0]));
        // One that another way has made can still be had, and deleted.
        Refused("ENOENT", "no volume --flat", "volume", "delete", "--flat");
    }

    [Fact]
    public void Diff_shows_the_objects_that_changed_and_whether_they_are_zeros_now()
    {
        Family();
        Assert.Equal([(0L, 4 << 20, "zero"), (8 << 20, 4 << 20, "data")], Diff("base@s1", "base@s2"));
        Assert.Empty(Diff("base@s2", "base"));
        Assert.Empty(Diff("base@s1", "c1"));
        Write("c1", "write -P 9 15M 4k");
        Assert.Equal([(12 << 20, 4 << 20, "data")], Diff("base@s1", "c1"));
        _chain.Run("volume", "resize", "c1", "13M", "--shrink").Good();
        Assert.Equal([], Diff("base@s1", "c1").Where(extent => extent.Offset + extent.Length > 13 << 20));
        _chain.Run("volume", "create", "other", "16M", "--object-size", "1M").Good();
        Refused("EINVAL", "objects of", "volume", "diff", "base@s1", "other");
        Refused("ENOENT", "base@no", "volume", "diff", "base@no", "base");
    }

    [Fact]
    public void Usage_tells_own_from_shared_bytes_and_equal_content_has_equal_hashes()
    {
        Family();
        Write("base", "write -P 4 4M 1M");
        var usage = Json("volume", "du").GetProperty("versions").EnumerateArray().ToDictionary(
            v => v.GetProperty("name").GetString()!, v => (Own: v.GetProperty("ownBytes").GetInt64(), Shared: v.GetProperty("sharedBytes").GetInt64()));
        Assert.Equal(["base", "base@s1", "base@s2", "c1", "c1@x", "c2"], usage.Keys.Order(StringComparer.Ordinal));
        // Objects 1 (copied up, 1 MiB), 2 of s2 and of the volume.
        Assert.Equal(1 << 20, usage["base"].Own);
        Assert.True(usage["base"].Shared > 0);
        Assert.Equal(0, usage["c2"].Own);
        Assert.True(usage["c2"].Shared >= 5 << 20, $"{usage["c2"]}");
        Assert.Equal(3, Json("volume", "du", "base").GetProperty("versions").GetArrayLength());

        string Hash(string name) => Json("volume", "hash", name).GetProperty("hash").GetString()!;
        string first = Hash("base@s1");
        Assert.Equal(64, first.Length);
        Assert.Equal(first, Hash("c2"));
        Assert.NotEqual(first, Hash("base@s2"));
        Assert.Equal($"{first}  c1", _chain.Run("volume", "hash", "c1").Good().Output.Trim());
        Refused("ENOENT", "c1@no", "volume", "hash", "c1@no");
    }

    [Fact]
    public void The_map_is_dumped_in_runs_of_layers()
    {
        Family();
        var map = Json("volume", "map", "base");
        Assert.Equal(4, map.GetProperty("map").GetProperty("objects").GetInt32());
        Assert.Equal(2, map.GetProperty("map").GetProperty("parent").GetInt32());
        var chunk = map.GetProperty("chunks")[0];
        Assert.StartsWith("m.", chunk.GetProperty("object").GetString(), StringComparison.Ordinal);
        Assert.Equal(4, chunk.GetProperty("runs").EnumerateArray().Sum(run => run.GetProperty("count").GetInt32()));
        // Objects 0 and 2 were changed after s1, 1 and 3 were not.
        string?[] layers = [.. chunk.GetProperty("runs").EnumerateArray().Select(run => run.GetProperty("layer").GetString())];
        Assert.Equal(layers[0], layers[2]);
        Assert.Equal(layers[1], layers[3]);
        string text = _chain.Run("volume", "map", "base@s1").Good().Output;
        foreach (string field in (string[])["header +v[.]", "directory +d[.]", "layer", "number +1", "FIRST OBJECT"]) Assert.Matches($"(?m)^ *{field}", text);
    }

    [Fact]
    public void A_volume_is_opened_and_locked_without_a_client_until_that_is_ended()
    {
        Family();
        Assert.Equal("open", State(Json("volume", "open", "base")));
        Assert.Equal(1, Json("volume", "info", "base").GetProperty("openers").GetInt32());
        Refused("EBUSY", "close it first", "volume", "rename", "base", "b2");
        Refused("EBUSY", "volume close", "volume", "unlock", "base");
        Assert.True(Json("volume", "lock", "base").GetProperty("kept").GetBoolean());
        Assert.Equal("kept", State(Json("volume", "close", "base")));
        Refused("EALREADY", "base", "volume", "lock", "base");
        Refused("EBUSY", "volume unlock", "volume", "rename", "base", "b2");
        Write("base", "write -P 7 0 4k");
        Assert.Equal("kept", State(Json("volume", "info", "base")));
        _chain.Run("volume", "snapshot", "base@locked").Good();
        Assert.Equal("free", Json("volume", "unlock", "base").GetProperty("state").GetString());
        Refused("EINVAL", "not locked", "volume", "unlock", "base");
        Refused("EINVAL", "nothing to break", "volume", "unlock", "base", "--force");
        Refused("ESTALE", "not open", "volume", "close", "base");
        Refused("ENOENT", "nobody", "volume", "lock", "nobody");

        Assert.Equal(1, Json("volume", "open", "base@s1").GetProperty("openers").GetInt32());
        Assert.Equal("free", State(Json("volume", "info", "base")));
        Refused("EBUSY", "is open", "volume", "delete", "base@s1");
        _chain.Run("volume", "close", "base@s1").Good();
        Refused("EINVAL", "not open", "volume", "close", "base@s1");
        Assert.Equal("free", State(Json("volume", "open", "base", "--read-only")));
        _chain.Run("volume", "close", "base").Good();
    }

    /// <summary>base with s1 and s2, where objects 0 and 2 differ; c1 of s1 with x, c2 of x.</summary>
    private void Family()
    {
        _chain.Run("volume", "create", "base", "16M").Good();
        Write("base", "write -P 1 0 5M", "write -P 2 15M 4k");
        _chain.Run("volume", "snapshot", "base@s1").Good();
        Write("base", "discard 0 4M", "write -P 3 8M 4k");
        _chain.Run("volume", "snapshot", "base@s2").Good();
        _chain.Run("volume", "clone", "base@s1", "c1").Good();
        _chain.Run("volume", "snapshot", "c1@x").Good();
        _chain.Run("volume", "clone", "c1@x", "c2").Good();
    }

    private void Write(string volume, params string[] commands) =>
        _chain.Execute("qemu-io", ["-f", "raw", .. commands.SelectMany(c => (string[])["-c", c]), "-c", "flush", _chain.Uri(volume)]).Good();

    private (long Offset, int Length, string Kind)[] Diff(string from, string to) =>
        [.. Json("volume", "diff", from, to).GetProperty("extents").EnumerateArray().Select(e => (e.GetProperty("offset").GetInt64(), e.GetProperty("length").GetInt32(), e.GetProperty("kind").GetString()!))];

    private static string? State(JsonElement info) => info.GetProperty("lock").GetProperty("state").GetString();

    private string[] Lines(params string[] command) => [.. _chain.Run(command).Good().Output.Split('\n', StringSplitOptions.RemoveEmptyEntries)];

    private JsonElement Json(params string[] command) => _chain.Run([.. command, "--json"]).Good().Json;

    private void Refused(string errno, string why, params string[] command)
    {
        var outcome = _chain.Run(command);
        Assert.Equal(1, outcome.Code);
        Assert.Contains(errno + ":", outcome.Error, StringComparison.Ordinal);
        Assert.Contains(why, outcome.Error, StringComparison.Ordinal);
    }
}
