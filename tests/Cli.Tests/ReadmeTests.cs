using System.Text.RegularExpressions;
using Archipelago.Cli.Commands;
using Archipelago.Cli.Daemon;
using Archipelago.Cli.Peers;
using Archipelago.Runtime.Configuration;

using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>What the READMEs and the examples say about options, against the option tables.</summary>
public sealed partial class ReadmeTests
{
    // Rows that every peer has; peers/archipelago/README.md describes them.
    private static readonly string[] Common = ["enabled", "serves", "pages"];

    private static string Root { get; } = FindRoot();

    public static TheoryData<string, string> PeerReadmes => new()
    {
        { "memd", "blockers/memd" }, { "filed", "blockers/filed" }, { "radosd", "blockers/radosd" }, { "cached", "cached" },
        { "vlmcd", "peers/vlmcd" }, { "mapperd", "peers/mapperd" }, { "nbd", "peers/nbd" },
    };

    [Theory]
    [MemberData(nameof(PeerReadmes))]
    public void A_peers_README_lists_the_options_that_its_section_has(string peer, string folder)
    {
        string text = File.ReadAllText(Path.Combine(Root, folder, "README.md"));
        int start = text.IndexOf($"\n## Options (section `[{peer}]`)\n", StringComparison.Ordinal);
        Assert.True(start >= 0, $"{folder}/README.md has no \"## Options (section `[{peer}]`)\"");
        int end = text.IndexOf("\n## ", start + 2, StringComparison.Ordinal);
        var rows = text[start..(end < 0 ? text.Length : end)].Split('\n').Where(line => line.StartsWith("| `", StringComparison.Ordinal));
        string[] named = [.. rows.SelectMany(row => Code().Matches(row.Split('|')[1]).Select(m => m.Groups[1].Value))];
        string[] known = [.. PeerCatalogue.Kinds.First(k => k.Name == peer).Section.Options.Select(o => o.Key)];
        Assert.Empty(named.Except(known));
        Assert.Empty(known.Except(named).Except(Common));
    }

    [Fact]
    public void Options_that_are_named_with_their_section_anywhere_are_known()
    {
        var unknown = new List<string>();
        foreach (string file in Documents())
        {
            string text = File.ReadAllText(file);
            foreach (Match match in Bracketed().Matches(text).Concat(Setting().Matches(text)))
            {
                if (DaemonConfig.Schema.Sections.FirstOrDefault(s => s.Kind == match.Groups[1].Value) is { } section && section.Options.Any(o => o.Key == match.Groups[2].Value)) continue;
                unknown.Add($"{Path.GetRelativePath(Root, file)}: {match.Value}");
            }
        }

        Assert.Empty(unknown);
    }

    [Fact]
    public void Switches_of_the_command_that_documents_show_are_known()
    {
        var unknown = new List<string>();
        foreach (string file in Documents())
        {
            foreach (Match line in CommandLine().Matches(File.ReadAllText(file)))
            {
                string path = line.Groups[1].Value;
                var command = CommandTable.All.Where(c => c.Path.Length > 0 && (path + " ").StartsWith(c.Path + " ", StringComparison.Ordinal)).MaxBy(c => c.Path.Length);
                if (command is null) continue;
                foreach (Match option in LongOption().Matches(line.Groups[2].Value))
                    if (option.Value != "--help" && command.Options.All(o => o.Name != option.Value)) unknown.Add($"{Path.GetRelativePath(Root, file)}: {line.Value.Trim()}: {option.Value}");
            }
        }

        Assert.Empty(unknown);
    }

    [Theory]
    [InlineData("embedded.conf")]
    [InlineData("rados.conf")]
    [InlineData("split.conf")]
    public void The_examples_in_deploy_are_accepted(string name)
    {
        using var state = new StateDirectory("/tmp/none");
        var config = DaemonConfig.Load(state, Path.Combine(Root, "deploy/examples", name), [], []);
        foreach (var kind in config.Enabled) _ = kind.Make(config.Config);
    }

    private static IEnumerable<string> Documents() =>
        Directory.EnumerateFiles(Root, "*.md", SearchOption.AllDirectories)
            .Concat(Directory.EnumerateFiles(Path.Combine(Root, "deploy"), "*", SearchOption.AllDirectories))
            .Where(f => !Path.GetRelativePath(Root, f).Split('/').Any(part => part is "obj" or "bin" or "out" or "results" or ".git"))
            .Where(f => !f.EndsWith("completion/archipelago.bash", StringComparison.Ordinal));

    private static string FindRoot()
    {
        string root = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(root, "Storage.sln"))) root = Path.GetDirectoryName(root)!;
        return root;
    }

    [GeneratedRegex("`([a-z][a-z0-9-]*)`")]
    private static partial Regex Code();

    [GeneratedRegex(@"`\[([a-z][a-z0-9.-]*)\] ([a-z][a-z0-9_-]*)")]
    private static partial Regex Bracketed();

    [GeneratedRegex(@"--set (?!section)([a-z]+)\.([a-z0-9_-]+)=")]
    private static partial Regex Setting();

    [GeneratedRegex(@"archipelago((?: [a-z]+)+)([^\n`#|]*)")]
    private static partial Regex CommandLine();

    [GeneratedRegex("--[a-z][a-z-]*")]
    private static partial Regex LongOption();
}
