using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>The gateway dies under a client that connects again.</summary>
public sealed class GatewayTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void A_client_that_reconnects_goes_on_where_it_was_when_the_gateway_was_killed_and_started_again()
    {
        string[] settings = Chain.Small;
        _chain.Start(["run", "filed", "cached", "vlmcd", .. settings]);
        var gateway = _chain.Start(["run", "nbd", .. settings]);
        _chain.Run("volume", "create", "demo", "64M").Good();

        var client = _chain.Begin(
            "qemu-io", "--image-opts", $"driver=nbd,server.type=unix,server.path={_chain.State}/nbd.sock,export=demo,reconnect-delay=100");
        client.Type("write -P 1 0 1M");
        client.Type("flush");
        client.Type("write -P 2 1M 1M");
        client.WaitForOutput("wrote 1048576/1048576", 2);

        for (int round = 1; round <= 3; round++)
        {
            // Some are answered before the end of the gateway, some are under way, and the last ones find no gateway.
            for (int i = 0; i < 16; i++) client.Type($"aio_write -P {(round * 16) + i} {(4 * round) + 4 + (i / 4)}M 1M");
            Chain.KillHard(gateway);
            client.Type($"aio_write -P {round + 100} {40 + round}M 1M");
            gateway = _chain.Start(["run", "nbd", .. settings]);
            client.Type("aio_flush");
            client.Type($"read -P {round + 100} {40 + round}M 1M");
            client.WaitForOutput("read 1048576/1048576", round);
        }

        client.Type("read -P 1 0 1M");
        client.Type("read -P 2 1M 1M");
        client.WaitForOutput("read 1048576/1048576", 5);
        var end = client.End();
        Assert.DoesNotContain("failed", end.Output + end.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("Pattern verification", end.Output + end.Error, StringComparison.Ordinal);
        Assert.Equal(0, end.Code);

        // As another client sees it.
        string[] reads = ["read -P 1 0 1M", "read -P 2 1M 1M", "read -P 101 41M 1M", "read -P 102 42M 1M", "read -P 103 43M 1M"];
        var check = _chain.Execute("qemu-io", ["-r", "-f", "raw", _chain.Uri("demo"), .. reads.SelectMany(r => (string[])["-c", r])]).Good();
        Assert.DoesNotContain("failed", check.Output + check.Error, StringComparison.Ordinal);
        _chain.Run("down").Good();
    }
}
