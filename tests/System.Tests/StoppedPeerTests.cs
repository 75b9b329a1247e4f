using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>A peer that is stopped with SIGSTOP lives.</summary>
public sealed class StoppedPeerTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void A_stopped_peer_is_reported_as_hung_is_taken_over_by_nobody_and_goes_on()
    {
        _chain.Start(["run", "filed", .. Chain.Small]);
        var cached = _chain.Start(["run", "cached", .. Chain.Small]);
        _chain.Start(["run", "mapperd", "vlmcd", "nbd", .. Chain.Small]);
        _chain.Run("volume", "create", "demo", "64M").Good();
        var fio = _chain.BeginFio("demo", "--rw=randwrite", "--size=8m", "--thinktime=4ms", "--thinktime_blocks=8", "--thinktime_blocks_type=issue");
        _chain.WaitForRequests(200);

        Chain.Signal(cached, Chain.SigStop);
        _chain.WaitFor(() => _chain.PortState("cached.0") == "hung", "the stopped peer to be reported as hung");
        Assert.Contains("hung", _chain.Run("status").Good().Output, StringComparison.Ordinal);
        Assert.Equal("alive", _chain.PortState("filed.0"));
        Assert.Equal("alive", _chain.PortState("vlmcd.0"));

        // Neither its control socket nor, with another socket, its port.
        var second = _chain.Run(["run", "cached", .. Chain.Small]);
        Assert.Equal(1, second.Code);
        Assert.Contains("EADDRINUSE", second.Output + second.Error, StringComparison.Ordinal);
        second = _chain.Run(["run", "cached", .. Chain.Small, "--set", $"control.socket={_chain.Root}/second.sock"]);
        Assert.Equal(1, second.Code);
        Assert.Contains($"EBUSY: port 'cached.0' is bound by process {cached.Id}", second.Output + second.Error, StringComparison.Ordinal);
        Assert.Equal("hung", _chain.PortState("cached.0"));
        Assert.False(fio.HasExited, "its requests wait");

        Chain.Signal(cached, Chain.SigContinue);
        _chain.WaitFor(() => _chain.PortState("cached.0") == "alive", "the continued peer to be reported as alive");
        var outcome = fio.End();
        Assert.True(outcome.Code == 0, outcome.Output + outcome.Error + _chain.Log);
        Assert.False(cached.HasExited);
        _chain.Run("down").Good();
    }
}
