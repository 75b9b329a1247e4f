using Archipelago.Radosd.Librados;
using Xunit;

namespace Archipelago.Librados.Tests;

[Collection(MemoryClusterGroup.Name)]
public sealed class LockTests : IDisposable
{
    private readonly Client _one;
    private readonly Client _two;

    public LockTests(MemoryCluster cluster)
    {
        string ns = Guid.NewGuid().ToString("N");
        _one = new Client(cluster, ns: ns);
        _two = new Client(cluster, ns: ns);
    }

    public void Dispose()
    {
        _one.Dispose();
        _two.Dispose();
    }

    [Fact]
    public void A_held_lock_is_refused_to_others_until_it_is_given_up()
    {
        Assert.Equal(0, _one.Pool.LockExclusive("v", "owner", "c1"));
        Assert.Equal(RadosErrno.EBUSY, _two.Pool.LockExclusive("v", "owner", "c2"));
        Assert.Equal(RadosErrno.EEXIST, _one.Pool.LockExclusive("v", "owner", "c1"));
        Assert.Equal(0, _one.Pool.LockExclusive("v", "owner", "c1", renew: LockRenewal.May));
        Assert.Equal(RadosErrno.ENOENT, _two.Pool.Unlock("v", "owner", "c2"));
        Assert.Equal(0, _one.Pool.Unlock("v", "owner", "c1"));
        Assert.Equal(0, _two.Pool.LockExclusive("v", "owner", "c2"));
    }

    [Fact]
    public void The_holder_is_listed_and_a_broken_lock_cannot_be_renewed()
    {
        Assert.Equal(RadosErrno.ENOENT, _two.Pool.ListLockers("v", "owner", out _));
        Assert.Equal(0, _one.Pool.LockExclusive("v", "owner", "cookie", "host a", TimeSpan.FromMinutes(5)));
        Assert.Equal(0, _two.Pool.ListLockers("v", "owner", out IReadOnlyList<RadosLocker> lockers));
        RadosLocker holder = Assert.Single(lockers);
        Assert.Equal($"client.{_one.Cluster.InstanceId}", holder.Client);
        Assert.Equal("cookie", holder.Cookie);
        Assert.EndsWith(_one.Cluster.Addresses, holder.Address);

        Assert.Equal(0, _two.Pool.BreakLock("v", "owner", holder));
        Assert.Equal(RadosErrno.ENOENT, _two.Pool.BreakLock("v", "owner", holder));
        Assert.Equal(RadosErrno.ENOENT, _one.Pool.LockExclusive("v", "owner", "cookie", renew: LockRenewal.Must));
        Assert.Equal(0, _two.Pool.ListLockers("v", "owner", out lockers));
        Assert.Empty(lockers);
    }

    [Fact]
    public void A_lease_that_is_not_renewed_ends()
    {
        Assert.Equal(0, _one.Pool.LockExclusive("v", "owner", "c", lease: TimeSpan.FromMilliseconds(300)));
        // However long it takes, it comes to an end; without a lease this loop would have none.
        while (_two.Pool.LockExclusive("v", "owner", "d") == RadosErrno.EBUSY)
            Thread.Sleep(20);
        Assert.Equal(RadosErrno.EBUSY, _one.Pool.LockExclusive("v", "owner", "c", renew: LockRenewal.May));
    }

    [Fact]
    public void A_blocklisted_client_writes_nothing_any_more()
    {
        Assert.Equal(0, _one.Write("a", [1]));
        Assert.Equal(0, _one.Pool.LockExclusive("v", "owner", "c"));
        _two.Pool.ListLockers("v", "owner", out IReadOnlyList<RadosLocker> lockers);
        _two.Cluster.Blocklist(lockers[0].Address, TimeSpan.FromMinutes(5));
        Assert.Equal([1], _two.Read("a", 10));
        Assert.Equal(RadosErrno.EBLOCKLISTED, _one.Write("a", [2]));
        Assert.Equal([1], _two.Read("a", 10));
    }

    [Fact]
    public void A_client_can_fence_itself_by_its_own_address()
    {
        Assert.Equal(0, _one.Write("a", [1]));
        _one.Cluster.Blocklist(_one.Cluster.Addresses, TimeSpan.FromMinutes(5));
        Assert.Equal(RadosErrno.EBLOCKLISTED, _one.Write("a", [2]));
        Assert.Equal([1], _two.Read("a", 10));
    }

    [Fact]
    public void Object_classes_can_be_called_and_unknown_ones_are_refused()
    {
        const int eopnotsupp = 95;
        _one.Write("a", [1]);
        var output = new byte[100];
        Assert.Equal(0, _one.Pool.Execute("a", "hello", "say_hello", "islands"u8, output, out int length));
        Assert.Equal("Hello, islands!", System.Text.Encoding.UTF8.GetString(output, 0, length));
        Assert.Equal(eopnotsupp, _one.Pool.Execute("a", "hello", "no_such_method", [], output, out _));
        Assert.NotEqual(0, _one.Pool.Execute("a", "no_such_class", "m", [], output, out _));
        Assert.Equal(0, _one.Pool.StatBlocking("a", out ulong size, out _));
        Assert.Equal(1ul, size);
    }
}
