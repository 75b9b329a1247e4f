using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>Two segments over one pool, as two hosts would be.</summary>
public sealed class TwoHostsTests(DiskCluster cluster) : IClassFixture<DiskCluster>, IDisposable
{
    private const string Config = """
        [segment]
        spare = 4096
        [radosd]
        ceph-conf = CONF
        pool = archipelago
        [cached]
        size = 32M
        policy = writeback
        dirty-age = 500ms
        [mapperd]
        [vlmcd]
        [nbd]
        """;

    private readonly Chain _a = new(), _b = new();

    public void Dispose()
    {
        _b.Dispose();
        _a.Dispose();
    }

    [Fact]
    public void What_one_host_writes_to_another_one_can_only_read_until_it_is_closed()
    {
        string config = _a.Write("rados.conf", Config.Replace("CONF", cluster.ConfigFile, StringComparison.Ordinal));
        _a.Start("up", "--config", config);
        _a.Run("volume", "create", "demo", "64M").Good();
        string record = Path.Combine(_a.Root, "record");
        var stamps = _a.Stamps("write", _a.Uri("demo"), record, "64");
        stamps.WaitForOutput("acknowledged", 2);
        _a.Run("volume", "snapshot", "demo@one").Good();

        _b.Start("up", "--config", config);
        var refused = _b.Execute("qemu-img", "info", _b.Uri("demo"));
        Assert.NotEqual(0, refused.Code);
        Assert.Contains("volume demo is open on another host", refused.Error, StringComparison.Ordinal);
        Assert.Contains("demo@ is the volume only for reading", refused.Error, StringComparison.Ordinal);
        foreach (string export in (string[])["demo@", "demo@one"])
        {
            Assert.Contains("is_read_only: true", _b.Execute("nbdinfo", _b.Uri(export)).Good().Output, StringComparison.Ordinal);
            _b.Execute("nbdcopy", _b.Uri(export), "null:").Good();
        }

        Assert.Equal(Hash(_a, "demo@one"), Hash(_b, "demo@one"));
        var end = stamps.End();
        Assert.True(end.Code == 0 && end.Error.Trim().Length == 0, end.Error + _a.Log);

        // Closed there, it opens here, with all that was written there.
        _b.WaitFor(() => _b.Execute("nbdinfo", "--size", _b.Uri("demo")).Code == 0, "the volume to be closed on the other host");
        _b.Stamps("check", _b.Uri("demo"), record).End().Good();
        _b.Run("down").Good();
        _a.Run("down").Good();
    }

    private static string Hash(Chain host, string export) => host.Execute("/bin/bash", "-o", "pipefail", "-c", $"nbdcopy '{host.Uri(export)}' - | sha256sum").Good().Output;
}
