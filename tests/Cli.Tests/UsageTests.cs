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
    [InlineData("[memd]\n[filed]\n", "serves: expected a route that no other peer serves", "blocks")]
    [InlineData("[vlmcd]\n[nbd]\n", "[vlmcd] blocks: expected a route that a peer of this configuration serves", "\"cache\"")]
    [InlineData("[memd]\n[vlmcd]\nblocks = blcks\n", ":3: [vlmcd] blocks: expected a route that a peer of this configuration serves (blocks, volumes)", "\"blcks\"")]
    [InlineData("[cached]\n", "[cached] blocks: expected a route", "archipelago run")]
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
    public void The_example_loads_when_its_sections_are_chosen()
    {
        string text = _chain.Run("config", "example").Good().Output;
        string file = _chain.Write("example.conf", text.Replace("\n[memd]\n", "\n[memd]\nenabled = no\n", StringComparison.Ordinal).Replace("\n[radosd]\n", "\n[radosd]\nenabled = no\n", StringComparison.Ordinal));
        Assert.Contains("filed, cached, vlmcd, nbd", _chain.Run("config", "check", "--config", file).Good().Error, StringComparison.Ordinal);
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
