using Archipelago.Conformance.Tests.Behaviours;
using Archipelago.Conformance.Tests.Harness;
using Archipelago.Librados.Tests;
using Archipelago.Radosd;

namespace Archipelago.Conformance.Tests.Blockers;

/// <summary>radosd on a real RADOS in memory, each test in a namespace of its own.</summary>
public abstract class RadosdConformance(MemoryCluster cluster) : BlockerConformance
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("archipelago-radosd-");

    protected override string DeadAddress => "127.0.0.1:0/3000000001";

    protected RadosdOptions Options => new()
    {
        CephConf = cluster.ConfigFile,
        Pool = DevCluster.Pool,
        Namespace = _directory.Name,
        State = Path.Combine(_directory.FullName, "state"),
    };

    public override void Dispose()
    {
        base.Dispose();
        _directory.Delete(recursive: true);
    }
}

[Collection(MemoryClusterGroup.Name)]
public sealed class RadosdOverRings(MemoryCluster cluster) : RadosdConformance(cluster)
{
    protected override BlockerHarness Start() => BlockerHarness.Start(() => new RadosdPeer(Options));
}

/// <summary>Nearly everything waits for room.</summary>
[Collection(MemoryClusterGroup.Name)]
public sealed class RadosdByCallWithLittleRoom(MemoryCluster cluster) : RadosdConformance(cluster)
{
    protected override BlockerHarness Start() =>
        BlockerHarness.Start(() => new RadosdPeer(Options with { MaxOperations = 2, MaxWrites = 1, MaxBytes = RadosdOptions.MaxObject }), Placement.Call);
}
