using Archipelago.Radosd.Librados;
using Xunit;

namespace Archipelago.Librados.Tests;

[Collection(MemoryClusterGroup.Name)]
public sealed class WriteOpTests(MemoryCluster cluster) : IDisposable
{
    private readonly Client _client = new(cluster, operations: 2, ns: Guid.NewGuid().ToString("N"));

    public void Dispose() => _client.Dispose();

    [Fact]
    public void An_exclusive_create_works_once()
    {
        Assert.Equal(0, Create());
        Assert.Equal(RadosErrno.EEXIST, Create());

        int Create()
        {
            using var op = RadosWriteOp.Create();
            op.Create(exclusive: true);
            op.HintSizes(4 << 20, 4 << 20);
            return _client.Await(op.Submit(_client.Pool, "a"u8, null)).Errno;
        }
    }

    [Fact]
    public void A_write_that_asserts_existence_creates_nothing()
    {
        Assert.Equal(RadosErrno.ENOENT, Overwrite());
        Assert.Equal(RadosErrno.ENOENT, _client.Stat("a").Errno);
        _client.Write("a", [1, 1, 1]);
        Assert.Equal(0, Overwrite());
        Assert.Equal([1, 9, 1], _client.Read("a", 10));

        int Overwrite()
        {
            using var op = RadosWriteOp.Create();
            op.AssertExists();
            op.Write([9], 1);
            return _client.Await(op.Submit(_client.Pool, "a"u8, null)).Errno;
        }
    }

    [Fact]
    public void A_comparison_takes_what_is_not_there_for_zeros_and_creates_nothing()
    {
        byte[] fresh = Client.Bytes(512, 9);
        Assert.Equal(RadosErrno.EILSEQ, Swap("missing", Client.Bytes(512, 1), 0));
        Assert.Equal(RadosErrno.ENOENT, _client.Stat("missing").Errno);
        Assert.Equal(0, Swap("missing", new byte[512], 512));
        Assert.Equal(1024ul, _client.Stat("missing").ObjectSize);
        _client.Write("short", [1, 1, 1]);
        // The first byte and the last: the code that RADOS answers with tells the place.
        Assert.Equal(RadosErrno.EILSEQ, Swap("short", [2, 1, 1, .. new byte[509]], 0));
        Assert.Equal(RadosErrno.EILSEQ, Swap("short", [1, 1, 1, .. new byte[508], 1], 0));
        Assert.Equal(3ul, _client.Stat("short").ObjectSize);
        Assert.Equal(0, Swap("short", [1, 1, 1, .. new byte[509]], 0));
        Assert.Equal(fresh, _client.Read("short", 4096));

        int Swap(string name, byte[] expected, ulong offset)
        {
            using var op = RadosWriteOp.Create();
            op.Compare(expected, offset);
            op.Write(fresh, offset);
            return _client.Await(op.Submit(_client.Pool, Client.Name(name), null)).Errno;
        }
    }

    [Fact]
    public void Several_changes_take_effect_in_order_as_one()
    {
        using var op = RadosWriteOp.Create();
        op.Create(exclusive: true);
        op.Write(Client.Bytes(100, 1), 0);
        op.Write([5, 5], 200);
        op.Zero(10, 10);
        op.Truncate(201);
        op.SetAttribute("user.epoch"u8, [42]);
        Assert.Equal(0, _client.Await(op.Submit(_client.Pool, "a"u8, null)).Errno);
        byte[] data = Client.Bytes(100, 1);
        Assert.Equal([.. data[..10], .. new byte[10], .. data[20..], .. new byte[100], 5], _client.Read("a", 4096));
    }

    [Fact]
    public void If_one_change_fails_none_is_made()
    {
        _client.Write("a", [1]);
        using var op = RadosWriteOp.Create();
        op.WriteFull([2, 2]);
        op.Create(exclusive: true);
        Assert.Equal(RadosErrno.EEXIST, _client.Await(op.Submit(_client.Pool, "a"u8, null)).Errno);
        Assert.Equal([1], _client.Read("a", 10));

        using var remove = RadosWriteOp.Create();
        remove.AssertExists();
        remove.Remove();
        Assert.Equal(0, _client.Await(remove.Submit(_client.Pool, "a"u8, null)).Errno);
        Assert.Equal(RadosErrno.ENOENT, _client.Stat("a").Errno);
    }

    [Fact]
    public void Compare_and_set_of_an_attribute_succeeds_only_on_the_expected_value()
    {
        _client.Await(_client.Pool.SetAttribute("a"u8, "user.epoch"u8, [1], null));
        Assert.Equal(0, Raise(1, 2));
        Assert.Equal(RadosErrno.ECANCELED, Raise(1, 3));
        Assert.Equal(0, Raise(2, 3));

        int Raise(byte from, byte to)
        {
            using var op = RadosWriteOp.Create();
            op.CompareAttribute("user.epoch"u8, [from]);
            op.SetAttribute("user.epoch"u8, [to]);
            return _client.Await(op.Submit(_client.Pool, "a"u8, null)).Errno;
        }
    }

    [Fact]
    public void An_asserted_version_that_is_not_the_objects_own_is_refused()
    {
        ulong version = _client.Await(_client.Pool.Write("a"u8, [1], 0, null)).Version;
        Assert.Equal(0, WriteAt(version));
        Assert.NotEqual(0, WriteAt(version));
        Assert.NotEqual(0, WriteAt(version + 100));

        int WriteAt(ulong expected)
        {
            using var op = RadosWriteOp.Create();
            op.AssertVersion(expected);
            op.Write([2], 0);
            return _client.Await(op.Submit(_client.Pool, "a"u8, null)).Errno;
        }
    }

    [Fact]
    public void A_set_is_submitted_once_but_again_after_EAGAIN()
    {
        using var op = RadosWriteOp.Create();
        op.Write([7], 0);
        Assert.Equal(0, _client.Pool.Write("x"u8, [1], 0, null));
        Assert.Equal(0, _client.Pool.Write("y"u8, [1], 0, null));
        Assert.Equal(RadosErrno.EAGAIN, op.Submit(_client.Pool, "a"u8, null));
        _client.Take();
        _client.Take();
        Assert.Equal(0, _client.Await(op.Submit(_client.Pool, "a"u8, null)).Errno);
        Assert.Equal(RadosErrno.EINVAL, op.Submit(_client.Pool, "a"u8, null));
        Assert.Equal([7], _client.Read("a", 10));
    }

    [Fact]
    public void A_malformed_part_refuses_the_whole_set()
    {
        using var op = RadosWriteOp.Create();
        op.SetAttribute("bad\0name"u8, [1]);
        op.Write([1], 0);
        Assert.Equal(RadosErrno.EINVAL, op.Submit(_client.Pool, "a"u8, null));
        Assert.Equal(0, _client.Queue.InFlight);
    }
}
