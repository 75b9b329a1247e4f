using Archipelago.Librados.Tests;
using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>Two hosts' segments over one directory.</summary>
public sealed class FiledTwoHostsTests() : TwoHostsTests("filed", root => $"directory = {root}/objects\nshared = true");

/// <summary>Two hosts' segments over one pool of a real RADOS.</summary>
public sealed class RadosTwoHostsTests(MemoryCluster cluster) : TwoHostsTests(
    "radosd", root => $"ceph-conf = {cluster.ConfigFile}\npool = {DevCluster.Pool}\nnamespace = {Path.GetFileName(root)}"), IClassFixture<MemoryCluster>;

/// <summary>What two hosts do with one volume, one after the other and at a time.</summary>
public abstract partial class TwoHostsTests(string blocker, Func<string, string> section) : IDisposable
{
    private TwoHosts _hosts = null!;

    private bool IsRados => blocker == "radosd";
    private Chain A => _hosts.A;
    private Chain B => _hosts.B;

    public void Dispose() => _hosts?.Dispose();

    [Fact]
    public void What_one_host_writes_to_another_one_can_only_read_until_it_is_closed()
    {
        Start();
        A.Run("volume", "create", "demo", "32M").Good();
        string record = Path.Combine(A.Root, "record");
        var stamps = A.Stamps("write", A.Uri("demo"), record, "64");
        stamps.WaitForOutput("acknowledged", 2);
        A.Run("volume", "snapshot", "demo@one").Good();
        long epoch = TwoHosts.Lock(A, "demo").Epoch;

        // Each of them waits some seconds first.
        var client = B.Execute("qemu-img", "info", B.Uri("demo"));
        foreach (var refused in (Outcome[])[client, B.Run("volume", "open", "demo")])
        {
            Assert.NotEqual(0, refused.Code);
            Assert.Contains("volume demo is open on another host", refused.Error, StringComparison.Ordinal);
            Assert.Contains($"{Environment.MachineName} pid {_hosts.Processes[A].Others.Id}", refused.Error, StringComparison.Ordinal);
        }

        Assert.Contains("demo@ is the volume only for reading", client.Error, StringComparison.Ordinal);
        foreach (string export in (string[])["demo@", "demo@one"])
        {
            Assert.Contains("is_read_only: true", B.Execute("nbdinfo", B.Uri(export)).Good().Output, StringComparison.Ordinal);
            B.Execute("nbdcopy", B.Uri(export), "null:").Good();
        }

        Assert.Equal(TwoHosts.Hash(A, "demo@one"), TwoHosts.Hash(B, "demo@one"));
        TwoHosts.EndWell(A, stamps);

        // Closed there, it opens here, with all that was written there; and the other way round.
        TwoHosts.WaitUntilFree(B, "demo");
        B.Run("volume", "open", "demo").Good();
        Assert.True(TwoHosts.Lock(B, "demo") is ("open", var next) && next > epoch, $"{epoch}, then {TwoHosts.Lock(B, "demo")}");
        TwoHosts.Check(B, "demo", record);
        var other = A.Run("volume", "open", "demo");
        Assert.NotEqual(0, other.Code);
        Assert.Contains($"pid {_hosts.Processes[B].Others.Id}", other.Error, StringComparison.Ordinal);
        B.Run("volume", "close", "demo").Good();
        TwoHosts.WaitUntilFree(A, "demo");
        A.Run("volume", "open", "demo").Good();
        TwoHosts.Check(A, "demo", record);
        A.Run("volume", "close", "demo").Good();
        _hosts.Down();
    }

    [Fact]
    public void A_host_that_gets_a_volume_back_reads_what_the_other_one_wrote_and_nothing_of_its_own_that_is_older()
    {
        Start();
        A.Run("volume", "create", "demo", "32M").Good();
        string record = Path.Combine(A.Root, "record"), frozen = Path.Combine(A.Root, "frozen");
        // Each of the two has all of it in its cache when the other one begins.
        foreach (var host in (Chain[])[A, B, A])
        {
            if (File.Exists(record)) CheckClosed(host, "demo", record);
            TwoHosts.Write(host, "demo", record);
            CheckClosed(host, "demo", record);
        }

        CheckClosed(B, "demo", record);
        B.Run("volume", "snapshot", "demo@b").Good();
        File.Copy(record, frozen);
        B.Run("volume", "clone", "demo@b", "clone").Good();
        TwoHosts.Write(B, "demo", record);
        foreach (var host in (Chain[])[A, B])
        {
            CheckClosed(host, "demo", record);
            TwoHosts.Check(host, "demo@b", frozen);
            CheckClosed(host, "clone", frozen);
            TwoHosts.Write(host, "demo", record);
        }

        CheckClosed(A, "demo", record);
        CheckClosed(A, "clone", frozen);
        _hosts.Down();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_volume_moves_to_another_host_while_its_guest_writes_and_nothing_is_lost(bool writesFirst)
    {
        Start();
        // A clone, so that first writes move objects while the target looks on.
        A.Run("volume", "create", "base", "32M").Good();
        string record = Path.Combine(A.Root, "record");
        TwoHosts.Write(A, "base", record);
        A.Run("volume", "snapshot", "base@one").Good();
        A.Run("volume", "clone", "base@one", "demo").Good();
        A.Run("volume", "open", "demo").Good();

        // The target has it beside the source, and what comes to it reads.
        B.Run("volume", "open", "demo", "--standby").Good();
        B.Execute("nbdcopy", B.Uri("demo"), "null:").Good();
        var stamps = A.Stamps("write", A.Uri("demo"), record, "64");
        var fio = A.BeginFio("demo", "--rw=randwrite", "--size=8m", "--offset=16m", "--loops=2", "--do_verify=0");
        stamps.WaitForOutput("acknowledged", 2);
        var written = fio.End();
        Assert.True(written.Code == 0, written.Output + written.Error + A.Log);

        if (!writesFirst)
        {
            TwoHosts.EndWell(A, stamps);
            A.Run("volume", "close", "demo").Good();
            TwoHosts.WaitUntilFree(B, "demo");
            TwoHosts.Check(B, "demo", record);
            Assert.Equal("open", TwoHosts.Lock(B, "demo").State);
        }

        // Its first write waits for the source.
        var first = B.Begin("/usr/bin/python3", "-c", """
            import sys, nbd
            h = nbd.NBD()
            h.connect_uri(sys.argv[1])
            h.pread(1 << 20, 0)
            print("reads", flush=True)
            h.pwrite(b"7" * 4096, 28 << 20)
            h.flush()
            assert h.pread(4096, 28 << 20) == b"7" * 4096
            h.shutdown()
            """, B.Uri("demo"));
        first.WaitForOutput("reads");
        if (writesFirst)
        {
            stamps.WaitForOutput("acknowledged", stamps.Output.Split("acknowledged").Length + 1);
            Assert.False(first.HasExited, first.Output + first.Error);
            Assert.Equal("open", TwoHosts.Lock(A, "demo").State);
            TwoHosts.EndWell(A, stamps);
            A.Run("volume", "close", "demo").Good();
        }

        var taken = first.End();
        Assert.True(taken.Code == 0, taken.Error + B.Log);
        Assert.Equal("open", TwoHosts.Lock(B, "demo").State);
        TwoHosts.Check(B, "demo", record);
        B.Fio("demo", "--rw=read", "--size=8m", "--offset=16m", "--verify_only=1").Good();
        Assert.NotEqual(0, A.Run("volume", "open", "demo").Code);
        B.Run("volume", "close", "demo").Good();
        TwoHosts.WaitUntilFree(A, "demo");
        TwoHosts.Check(A, "demo", record);
        _hosts.Down();
    }

    private static void CheckClosed(Chain host, string volume, string record)
    {
        TwoHosts.Check(host, volume, record);
        TwoHosts.WaitUntilFree(host, volume);
    }

    private void Start(string lease = "60s") => _hosts = new TwoHosts(blocker, section, lease);
}
