using Archipelago.Mapperd;
using Archipelago.Mapperd.Volumes;
using Archipelago.Memd;
using Archipelago.Simulation;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests.Simulated;

/// <summary>What a host that died with its segment had begun, another one goes on with, when the leases have run out.</summary>
public sealed class DeadHostTests : IDisposable
{
    private readonly SimWorld _world = new(1) { Patience = 10_000_000 };
    private readonly MemdPeer _store = new(new MemdOptions());
    private readonly HostPlan _plan = new(new MapperdOptions { ObjectSize = 4096, Lease = TimeSpan.FromSeconds(5), Owner = "test" }, FanOut: 4, HasCache: false);
    private SimHost _host;

    public DeadHostTests() => _host = new SimHost(_world, _plan, _store);

    [Fact]
    public void The_removal_of_a_snapshot_goes_on()
    {
        Do(XsegOp.Create, "disk", 64 << 12);
        Do(XsegOp.Snapshot, "disk", source: "s");
        Do(XsegOp.Delete, "disk@s");
        Until(() => Volume("disk") is { IsLocked: true, LockUsers: 1, IsPurging: true }, "the removal begins");
        Die();
        UntilIdle();
        Assert.Empty(Run(() => _host.Mapperd.Volumes.LookAsync("disk")).Snapshots);
    }

    [Fact]
    public void The_removal_of_a_volume_goes_on()
    {
        Do(XsegOp.Create, "disk", 64 << 12);
        Do(XsegOp.Delete, "disk");
        Die();
        UntilIdle();
        Assert.Empty(Run(() => Vlmcd.Tests.StoreList.ObjectsAsync(_host.Client)));
        Assert.Empty(Run(() => _host.Mapperd.Volumes.Catalogue.ReadAsync().AsTask()));
    }

    public void Dispose()
    {
        _host.Dispose();
        _store.Dispose();
    }

    private Volume? Volume(string name) => _host.Mapperd.Volumes.Table.Find(name);

    private void Die()
    {
        _host.Dispose();
        _host = new SimHost(_world, _plan, _store);
    }

    private void UntilIdle() => Until(() => _host.Mapperd.Volumes is { IsSettled: true, Purges: 0 }, "background work");

    private void Until(Func<bool> done, string what) => _world.RunUntil(done, what);

    private void Do(XsegOp op, string name, ulong length = 0, string? source = null) =>
        Assert.Equal(0, Run(() => _host.Client.Do("volumes", op, name, 0, 0, length, source: source)).Status);

    private T Run<T>(Func<Task<T>> work)
    {
        var task = _host.OnClient(work);
        Until(() => task.IsCompleted, "request");
        return task.GetAwaiter().GetResult();
    }
}
