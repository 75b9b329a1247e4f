using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Commands;

using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>Command lines and configurations that are wrong, help, completion.</summary>
public sealed class UsageTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Theory]
    [InlineData("[cached]\nsize = lots\n", ":2: [cached] size: expected a size", "\"lots\"")]
    [InlineData("[cached]\n\nsise = 1G\n", ":3: [cached] sise: expected", "did you mean size?")]
    [InlineData("[cahced]\n", ":1: ", "did you mean [cached]?")]
    [InlineData("[nbd]\ntcp = nowhere:0x\n", ":2: [nbd] tcp: expected", "nowhere")]
    [InlineData("[memd]\n[filed]\n", ".conf:2: [filed] serves: expected a route that no other peer serves", "blocks")]
    [InlineData("[vlmcd]\n[nbd]\n", "[vlmcd] blocks: expected a route that a peer of this configuration serves", "\"cache\"")]
    [InlineData("[memd]\n[vlmcd]\nblocks = blcks\n", ":3: [vlmcd] blocks: expected a route that a peer of this configuration serves (blocks, volumes)", "\"blcks\"")]
    [InlineData("[cached]\n", "[cached] blocks: expected a route", "archipelago run")]
    [InlineData("[memd]\n[vlmcd]\nblocks = blocks\n[nbd]\n", "[vlmcd] maps: expected a section [mapperd] in this configuration", "add that line")]
    [InlineData("[memd]\n[mapperd]\nobjects = blocks\n[vlmcd]\nblocks = blocks\n[nbd]\n[segment]\nports = 4\n", ":8: [segment] ports: expected at least 5", "\"4\"")]
    [InlineData("[memd]\n[segment]\npages = 100\n", ":3: [segment] pages: expected more than", "\"100\"")]
    [InlineData("[memd]\n[segment]\nspare = 1073741824\n", ":3: [segment] spare: expected less", "at most 1073741824")]
    [InlineData("[memd]\n[segment]\nslots = 1000\n", ":3: [segment] slots: expected a power of two", "\"1000\"")]
    [InlineData("[memd]\n[segment]\nobjects = 10\n", ":3: [segment] objects: expected at least 64", "\"10\"")]
    [InlineData("[memd]\n[reactor]\ncore = 1023\n", ":3: [reactor] core: expected -1, or a core that this machine has", "\"1023\"")]
    public void A_bad_configuration_is_refused_with_file_line_key_and_what_was_expected(string text, string where, string what)
    {
        string file = _chain.Write("bad.conf", text);
        foreach (string command in new[] { "up", "config" })
        {
            var outcome = command == "up" ? _chain.Run("up", "--config", file) : _chain.Run("config", "check", "--config", file);
            Assert.Equal(2, outcome.Code);
            Assert.Contains(where, outcome.Error, StringComparison.Ordinal);
            Assert.Contains(what, outcome.Error, StringComparison.Ordinal);
        }

        Assert.False(Directory.Exists(_chain.State), "a refused start makes nothing");
    }

    [Fact]
    public void The_example_means_what_up_does_without_a_file()
    {
        string file = _chain.Write("example.conf", _chain.Run("config", "example").Good().Output);
        var check = _chain.Run("config", "check", "--config", file).Good();
        Assert.Contains("starts filed, cached, mapperd, vlmcd, nbd; not memd, radosd", check.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("[memd]", check.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Config_check_prints_what_is_in_force_and_where_it_comes_from()
    {
        var check = _chain.Run("config", "check", "--config", _chain.Write("c.conf", "[memd]\n[cached]\nsize = 1G\n[mapperd]\n[vlmcd]\n"), "--set", "nbd.tcp=127.0.0.1:1").Good();
        Assert.Contains($"socket = {_chain.State}/control.sock  # state directory", check.Output, StringComparison.Ordinal);
        Assert.Contains($"directory = {_chain.Segment}  # state directory", check.Output, StringComparison.Ordinal);
        Assert.Contains("c.conf:3", check.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("[filed]", check.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("[radosd]", check.Output, StringComparison.Ordinal);
        var empty = _chain.Run("config", "check", "--config", _chain.Write("empty.conf", "")).Good();
        Assert.Contains("starts no peer", empty.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("enabled = true", empty.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("volume")]
    [InlineData("volume", "creat", "x")]
    [InlineData("volume", "create", "x")]
    [InlineData("up", "--nonsense")]
    [InlineData("run", "nosuchpeer")]
    [InlineData("bench", "--depth", "0")]
    [InlineData("bench", "--block-size", "1000")]
    [InlineData("down", "--timeout", "soon")]
    public void Wrong_usage_is_exit_status_2_with_a_word_on_standard_error(params string[] arguments)
    {
        var outcome = _chain.Run(arguments);
        Assert.Equal(2, outcome.Code);
        Assert.Contains("archipelago", outcome.Error, StringComparison.Ordinal);
        Assert.Empty(outcome.Output);
    }

    [Theory]
    [InlineData("foo", "there is no command 'foo': known are up, run")]
    [InlineData("volume", "'volume' needs a command: create")]
    [InlineData("volume creat x", "there is no command 'volume creat': known are create")]
    [InlineData("--json", "--json: options come after the command")]
    [InlineData("volume create .x 1G", "NAME: expected 1 to 89 of")]
    [InlineData("volume info a/b", "NAME: expected VOLUME or VOLUME@SNAPSHOT, each 1 to 89 of")]
    [InlineData("volume resize a@b 1G", "`volume resize` takes a volume, and a@b is a snapshot")]
    [InlineData("volume snapshot a", "SNAPSHOT: expected VOLUME@SNAPSHOT")]
    [InlineData("volume diff a@/ b", "FROM: expected VOLUME or VOLUME@SNAPSHOT")]
    [InlineData("volume export a f --format vmdk", "--format: expected raw or qcow2")]
    [InlineData("volume import f a --step 5k", "--step: expected")]
    [InlineData("volume create x 1G --object-size 12k", "--object-size: expected a power of two")]
    [InlineData("volume create x 1G --object-size 3k", "expected a power of two from 4k to 4M")]
    public void The_first_line_says_what_is_wrong(string arguments, string told)
    {
        var outcome = _chain.Run(arguments.Split(' '));
        Assert.Equal(2, outcome.Code);
        Assert.Contains(told, outcome.Error.Split('\n')[0], StringComparison.Ordinal);
    }

    [Fact]
    public void Configurations_are_also_printed_as_JSON()
    {
        Assert.Contains(_chain.Run("config", "example", "--json").Good().Json.EnumerateArray(), s => s.GetProperty("name").GetString() == "cached");
        var check = _chain.Run("config", "check", "--json", "--set", "cached.size=1G").Good().Json;
        Assert.Equal(5, check.GetProperty("starts").GetArrayLength());
        Assert.Equal("1G", check.GetProperty("sections").GetProperty("cached").GetProperty("size").GetProperty("value").GetString());
    }

    [Theory]
    [InlineData("status", 1)]
    [InlineData("down", 1)]
    [InlineData("volume list", 1)]
    [InlineData("cache stats", 1)]
    [InlineData("segment info", 1)]
    public void Where_nothing_runs_commands_say_so(string command, int code)
    {
        var outcome = _chain.Run(command.Split(' '));
        Assert.Equal(code, outcome.Code);
        Assert.Matches("nothing runs|no process|no segment", outcome.Output + outcome.Error);
    }

    [Fact]
    public void A_state_directory_that_cannot_be_used_is_named_with_what_the_kernel_said()
    {
        string file = _chain.Write("file", "");
        foreach (var (state, symbol) in new[] { (file, "ENOTDIR"), (file + "/below", "ENOENT"), ("/proc/foo", "ENOENT"), (Path.Combine(_chain.Root, new string('x', 300)), "ENAMETOOLONG") })
        {
            foreach (string[] more in (string[][])[[], ["--detach"]])
            {
                var outcome = _chain.Run(["up", "--state", state, "--set", $"control.socket={_chain.Root}/c", "--set", $"nbd.socket={_chain.Root}/n", .. more]);
                Assert.Equal(1, outcome.Code);
                Assert.Contains(symbol, outcome.Error, StringComparison.Ordinal);
                Assert.Contains(state, outcome.Error, StringComparison.Ordinal);
            }
        }

        var tooLong = _chain.Run("up", "--state", Path.Combine(_chain.Root, new string('x', 120)));
        Assert.Equal(2, tooLong.Code);
        Assert.DoesNotContain("--set", tooLong.Error, StringComparison.Ordinal);
        Assert.Contains("state directory: [nbd] socket: expected a path of at most 107 bytes", tooLong.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_command_has_a_page_with_all_of_its_options()
    {
        foreach (var command in CommandTable.All)
        {
            string page = HelpPage.Render(command, CommandTable.All);
            Assert.Contains("SYNOPSIS", page, StringComparison.Ordinal);
            Assert.All(command.Options, option => Assert.Contains("       " + option.Name, page, StringComparison.Ordinal));
        }

        Assert.Contains("NAME", _chain.Run("bench", "--help").Good().Output, StringComparison.Ordinal);
    }

    [Fact]
    public void The_completion_script_in_deploy_is_the_one_that_the_program_makes()
    {
        string root = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(root, "Storage.sln"))) root = Path.GetDirectoryName(root)!;
        Assert.Equal(File.ReadAllText(Path.Combine(root, "deploy/completion/archipelago.bash")), BashCompletion.Render(CommandTable.All));
        _chain.Execute("bash", "-n", Path.Combine(root, "deploy/completion/archipelago.bash")).Good();
    }

    [Fact]
    public void Garbage_in_place_of_a_segment_is_refused_and_left_alone()
    {
        Directory.CreateDirectory(_chain.Segment);
        string file = Path.Combine(_chain.Segment, "segment");
        File.WriteAllText(file, new string('x', 8192));
        var up = _chain.Run(["up", .. Chain.Small]);
        Assert.Equal(1, up.Code);
        Assert.Contains("EPROTO", up.Error, StringComparison.Ordinal);
        Assert.Contains("segment destroy", up.Error, StringComparison.Ordinal);
        Assert.Equal(8192, new FileInfo(file).Length);
    }
}
