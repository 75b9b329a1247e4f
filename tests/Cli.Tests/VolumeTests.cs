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
        // The volumes of the store: objects 0, 1 and 3 of s1, 2 of s2, and 1 copied up.
        Assert.Equal(5, Json("volume", "du").GetProperty("total").GetProperty("objects").GetInt32());
        Assert.Equal(Json("volume", "du").GetProperty("total").GetRawText(), Json("volume", "du", "base").GetProperty("total").GetRawText());
        // A clone alone has what it shares, too.
        Assert.Equal(3, Json("volume", "du", "c2").GetProperty("total").GetProperty("objects").GetInt32());
        Assert.Matches("total: [0-9.]+ MiB in 5 objects, each counted once", _chain.Run("volume", "du").Good().Output);

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
        var free = Json("volume", "unlock", "base");
        Assert.Equal(("base", "free"), (free.GetProperty("name").GetString(), free.GetProperty("state").GetString()));
        Refused("EINVAL", "not locked", "volume", "unlock", "base");
        Refused("EINVAL", "nothing to break", "volume", "unlock", "base", "--force");
        Refused("EINVAL", "not open here", "volume", "close", "base");
        Refused("ENOENT", "no volume nobody", "volume", "close", "nobody");
        Refused("ENOENT", "nobody", "volume", "lock", "nobody");

        Assert.Equal(1, Json("volume", "open", "base@s1").GetProperty("openers").GetInt32());
        Assert.Equal("free", State(Json("volume", "info", "base")));
        Refused("EBUSY", "is open", "volume", "delete", "base@s1");
        _chain.Run("volume", "close", "base@s1").Good();
        Refused("EINVAL", "not open", "volume", "close", "base@s1");
        Assert.Equal("free", State(Json("volume", "open", "base", "--read-only")));
        _chain.Run("volume", "close", "base").Good();
    }

    [Fact]
    public void Opens_are_counted_and_a_close_tells_what_it_closed_and_what_is_left()
    {
        _chain.Run("volume", "create", "disk", "16M").Good();
        _chain.Run("volume", "open", "disk").Good();
        Assert.Equal(2, Json("volume", "open", "disk").GetProperty("openersByCommand").GetInt32());
        string first = _chain.Run("volume", "close", "disk").Good().Output;
        Assert.Matches("(?m)^closed +for writing$", first);
        Assert.Matches("(?m)^still open +for writing: 1 by `volume open`, 0 for clients of gateways$", first);
        Assert.Matches("(?m)^still open +no$", _chain.Run("volume", "close", "disk").Good().Output);
        _chain.Run("volume", "open", "disk", "--read-only").Good();
        Assert.Equal("read", Json("volume", "close", "disk").GetProperty("closed").GetString());
        _chain.Run("volume", "snapshot", "disk@s").Good();
        _chain.Run("volume", "open", "disk@s").Good();
        Assert.Matches("(?m)^closed +for reading$", _chain.Run("volume", "close", "disk@s").Good().Output);
        Refused("EINVAL", "not open here", "volume", "close", "disk");
    }

    [Theory]
    [InlineData("takes a volume, and base@s1 is a snapshot", "volume", "lock", "base@s1")]
    [InlineData("give base", "volume", "resize", "base@s1", "1G")]
    [InlineData("takes a volume", "volume", "rename", "base@s1", "other")]
    [InlineData("takes a volume", "volume", "du", "base@s1")]
    [InlineData("takes a volume", "volume", "fsck", "base@s1")]
    [InlineData("by which NBD clients read volume base", "volume", "info", "base@")]
    [InlineData("expected a power of two from 4k to 4M, found \"5k\"", "volume", "create", "x", "1G", "--object-size", "5k")]
    [InlineData("goes with --names", "volume", "list", "--snapshots")]
    public void What_is_no_volume_for_a_command_is_refused_in_words_that_say_so(string why, params string[] command)
    {
        var wrong = _chain.Run(command);
        Assert.Equal(2, wrong.Code);
        Assert.Contains(why, wrong.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Json_names_what_was_done_and_leaves_out_what_is_not_known()
    {
        Family();
        Assert.All(Json("volume", "list").GetProperty("volumes").EnumerateArray(), volume => Assert.Equal(JsonValueKind.Null, volume.GetProperty("epoch").ValueKind));
        Assert.Equal("base@s1", Json("volume", "map", "c1").GetProperty("base").GetString());
        var snapshot = Json("volume", "delete", "base@s2");
        Assert.Equal(("base@s2", "snapshot"), (snapshot.GetProperty("name").GetString(), snapshot.GetProperty("kind").GetString()));
        Assert.Equal("volume", Json("volume", "delete", "c2").GetProperty("kind").GetString());
    }

    [Fact]
    public void Completion_offers_the_names_of_the_state_directory_that_the_line_names()
    {
        Family();
        Assert.Equal("base c1 c2", Complete("volume", "resize", ""));
        Assert.Equal("base base@s1 base@s2", Complete("volume", "info", "b"));
        Assert.Equal("base@s1 base@s2 c1@x", Complete("volume", "rollback", ""));
        // A shell takes @ for a word of its own, and puts in what comes behind it.
        Assert.Equal("s1 s2", Complete("volume", "rollback", "base", "@"));
        Assert.Equal("s2", Complete("volume", "diff", "base", "@", "s2"));
        Assert.Equal("base c1 c2", Complete("volume", "snapshot", ""));
    }

    /// <summary>What the script offers for the last word, options left out.</summary>
    private string Complete(params string[] words)
    {
        string line = string.Join(' ', words[..^1].Prepend($"--state {_chain.State}"));
        string script = "timeout() { shift; \"$@\"; }\nPATH=$1:$PATH\nsource <(archipelago completion bash)\nCOMP_WORDS=(archipelago LINE \"$2\")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_archipelago\nprintf '%s\\n' \"${COMPREPLY[@]}\"";
        string output = _chain.Execute(
            "env", "-u", "ARCHIPELAGO_STATE", "bash", "-c", script.Replace("LINE", line, StringComparison.Ordinal), "bash", AppContext.BaseDirectory, words[^1]).Good().Output;
        return string.Join(' ', output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(word => !word.StartsWith('-')));
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
