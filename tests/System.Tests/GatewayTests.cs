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
        _chain.Start(["run", "filed", "cached", "mapperd", "vlmcd", .. settings]);
        var gateway = _chain.Start(["run", "nbd", .. settings]);
        _chain.Run("volume", "create", "demo", "64M").Good();

        // qemu's client connects again; what it serves in turn is a disk that never goes away.
        string socket = Path.Combine(_chain.Root, "q.sock");
        var qemu = _chain.Begin(
            "qemu-nbd", "--persistent", "--shared=8", $"--socket={socket}", "--export-name=demo", "--image-opts",
            $"driver=nbd,server.type=unix,server.path={_chain.State}/nbd.sock,export=demo,reconnect-delay=200");
        string disk = $"nbd+unix:///demo?socket={socket}";
        _chain.WaitFor(() => qemu.HasExited || _chain.Execute("nbdinfo", "--size", disk).Code == 0, "qemu-nbd");

        string record = Path.Combine(_chain.Root, "record");
        var stamps = _chain.Stamps("write", disk, record, "64");
        for (int round = 0; round < 3; round++)
        {
            stamps.WaitForOutput("acknowledged", stamps.Output.Split("acknowledged").Length + 2);
            Chain.KillHard(gateway);
            gateway = _chain.Start(["run", "nbd", .. settings]);
        }

        stamps.WaitForOutput("acknowledged", stamps.Output.Split("acknowledged").Length + 2);
        var end = stamps.End();
        Assert.True(end.Code == 0 && end.Error.Trim().Length == 0, end.Output + end.Error + qemu.Error + _chain.Log);
        _chain.Stamps("check", disk, record).End().Good();
        // As another client sees it, without qemu between.
        _chain.Stamps("check", _chain.Uri("demo"), record).End().Good();
        Chain.Signal(qemu.Process, Chain.SigTerm);
        qemu.End();
        _chain.Run("down").Good();
    }
}
