using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>The first command of the README, as somebody who has never used it types it.</summary>
public sealed class QuickstartTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void A_newcomers_first_command_serves_a_volume_that_fio_verifies()
    {
        string home = Path.Combine(_chain.Root, "home");
        Directory.CreateDirectory(home);
        // The packages are those that are here already: the test is of the script, not of the network.
        string packages = Environment.GetEnvironmentVariable("NUGET_PACKAGES") ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget/packages");
        var quickstart = _chain.Begin(
            "env", $"HOME={home}", $"NUGET_PACKAGES={packages}", Path.Combine(Chain.Source, "deploy/quickstart.sh"), "--state", _chain.State,
            "--set", "up.first-volume-size=64M");
        quickstart.WaitForOutput(_chain.Uri("demo"));
        _chain.WaitFor(() => Directory.EnumerateFiles(_chain.State, "process.*").Any(f => !f.EndsWith(".new", StringComparison.Ordinal)), "the start");
        Assert.Contains("fio", quickstart.Output, StringComparison.Ordinal);
        Assert.Contains("qemu", quickstart.Output, StringComparison.Ordinal);

        string program = Path.Combine(Chain.Source, "out/archipelago");
        Assert.Equal("64 MiB", _chain.Execute(program, "volume", "list").Good().Output.Split('\n')[1][4..].Trim().Split("  ")[0]);
        _chain.Fio("demo", "--rw=randrw").Good();
        _chain.Execute(program, "volume", "create", "disk1", "10G").Good();
        _chain.Execute(program, "cache", "stats").Good();
        _chain.Execute(program, "status").Good();

        // As Ctrl-C, which cannot be sent here: a shell has its background jobs ignore it.
        Chain.Signal(quickstart.Process, Chain.SigTerm);
        var end = quickstart.End();
        Assert.True(end.Code == 0, end.Output + end.Error);
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
    }
}
