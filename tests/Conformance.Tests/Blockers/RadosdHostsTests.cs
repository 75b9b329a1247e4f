using Archipelago.Conformance.Tests.Harness;
using Archipelago.Librados.Tests;
using Archipelago.Radosd;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Blockers;

/// <summary>Two hosts, with a segment and a radosd each, on one pool.</summary>
[Collection(MemoryClusterGroup.Name)]
public sealed class RadosdHostsTests(MemoryCluster cluster) : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("archipelago-radosd-");

    public void Dispose() => _directory.Delete(recursive: true);

    [Fact]
    public async Task Swaps_of_two_hosts_come_one_after_the_other()
    {
        const int Clients = 3, Each = 40;
        using var first = Host("first");
        using var second = Host("second");
        await Task.WhenAll(new[] { first, second }.SelectMany(host => Enumerable.Range(0, Clients).Select(client => Task.Run(async () =>
        {
            for (int i = 0; i < Each;)
            {
                byte[] seen = (await host.Issue(new Ask(XsegOp.Read, BlockerHarness.Name("counter"), 0, 512))).Data;
                byte[] next = [.. seen];
                BitConverter.TryWriteBytes(next, BitConverter.ToInt64(seen) + 1);
                int status = (await host.Issue(new Ask(XsegOp.Write, BlockerHarness.Name("counter"), 0, 1024) { Payload = [.. seen, .. next], Flags = RequestFlags.Compare })).Status;
                if (status == 0) i++;
                else Assert.Equal(XsegErrno.EILSEQ, status);
            }
        }))));
        Assert.Equal(2 * Clients * Each, BitConverter.ToInt64(first.Read("counter", 0, 512).Data));
    }

    private BlockerHarness Host(string name) => BlockerHarness.Start(() => new RadosdPeer(new RadosdOptions
    {
        CephConf = cluster.ConfigFile,
        Pool = DevCluster.Pool,
        Namespace = _directory.Name,
        State = Path.Combine(_directory.FullName, name),
    }));
}
