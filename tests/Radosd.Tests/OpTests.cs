using System.Security.Cryptography;
using Archipelago.Librados.Tests;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Xunit;

namespace Archipelago.Radosd.Tests;

[Collection(MemoryClusterGroup.Name)]
public sealed class OpTests : IDisposable
{
    private const int Most = 4 << 20;
    private readonly Place _place;
    private readonly RadosdHost _host;
    private readonly XsegClient _client;

    public OpTests(MemoryCluster cluster)
    {
        _place = new Place(cluster);
        _host = new RadosdHost(_place.SegmentPath, _place.Options);
        _client = new XsegClient(_place.SegmentPath);
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(0, 4096)]
    [InlineData(100, 4096)]
    [InlineData(4095, 2)]
    [InlineData(1234, 300_000)]
    [InlineData(0, Most)]
    [InlineData(Most - 5000, 5000)]
    public void What_was_written_is_read_into_lent_pages_own_pages_and_scattered_pages(int offset, int length)
    {
        byte[] data = Place.Random(length, length + offset);
        _client.Write("o", data, (ulong)offset);
        Assert.Equal(data, _client.Read("o", length, (ulong)offset));
        Assert.Equal(data, _client.Read("o", length, (ulong)offset, ownPages: true));

        byte[] scattered = Place.Random(length, 7 + length);
        Assert.Equal(0, _client.Do(XsegOp.Write, "s", (ulong)offset, data: scattered, scatter: true).Status);
        var read = _client.Send(XsegOp.Read, XsegClient.Name("s"), (ulong)offset, (ulong)length, ownPages: true, scatter: true);
        Assert.Equal(0, _client.Wait(read));
        Assert.Equal(scattered, XsegClient.Data(read));
        _client.Free(read);
        Assert.Equal((ulong)(offset + length), Size("s"));
    }

    [Fact]
    public void Past_the_end_and_where_nothing_is_reads_zeros()
    {
        Assert.Equal((0, 8192ul, ReplyFlags.Missing), _client.Do(XsegOp.Read, "none", length: 8192));
        Assert.Equal(new byte[9000], _client.Read("none", 9000, 5));
        Assert.Equal(new byte[9000], _client.Read("none", 9000, 5, ownPages: true));
        Assert.Equal(Errno.EIO, _client.Do(XsegOp.Read, "none", length: 512, flags: RequestFlags.MustExist).Status);
        Assert.Equal(Errno.EIO, _client.Do(XsegOp.Read, "none", flags: RequestFlags.MustExist).Status);

        byte[] data = Place.Random(1000, 1);
        _client.Write("short", data);
        foreach (bool own in new[] { false, true })
        {
            Assert.Equal([.. data, .. new byte[9000]], _client.Read("short", 10000, ownPages: own));
            Assert.Equal(new byte[5000], _client.Read("short", 5000, 70_000, ownPages: own));
        }

        Assert.Equal((0, 512ul, ReplyFlags.None), _client.Do(XsegOp.Read, "short", 4096, 512, flags: RequestFlags.MustExist));
    }

    [Fact]
    public void Pages_of_zeros_are_not_lent_but_named()
    {
        _client.Write("z", [.. new byte[4096], .. Place.Random(4096, 1), .. new byte[8192]]);
        var read = _client.Send(XsegOp.Read, XsegClient.Name("z"), 0, 16384);
        Assert.Equal(0, _client.Wait(read));
        Assert.True(read.TryData(out var data));
        Assert.Equal([true, false, true, true], Enumerable.Range(0, 4).Select(i => data.Get(i).Page == 0));
        _client.Free(read);
    }

    [Fact]
    public void Discard_keeps_the_size_and_write_zeroes_beyond_the_end_extends()
    {
        byte[] data = Place.Random(20_000, 2);
        _client.Write("d", data);
        Clear(XsegOp.Discard, 5000, 3000, 20_000);
        Clear(XsegOp.Discard, 18_000, 2000, 20_000);
        Clear(XsegOp.Discard, 19_000, 9000, 20_000);
        Clear(XsegOp.Discard, 30_000, 100, 20_000);
        Clear(XsegOp.WriteZeroes, 100, 100, 20_000);
        Clear(XsegOp.WriteZeroes, 17_000, 3000, 20_000);
        Clear(XsegOp.WriteZeroes, 16_500, 13_500, 30_000);
        Clear(XsegOp.WriteZeroes, 40_000, 1000, 41_000);
        Clear(XsegOp.WriteZeroes, 3, 0, 41_000);
        Clear(XsegOp.Discard, 0, Most, 41_000);

        foreach (var op in new[] { XsegOp.Discard, XsegOp.WriteZeroes })
        {
            Assert.Equal((0, 4096ul), Two(_client.Do(op, "none", 0, 4096)));
            Assert.Equal(Errno.ENOENT, _client.Do(XsegOp.Info, "none").Status);
        }

        void Clear(XsegOp op, int offset, int length, ulong size)
        {
            Assert.Equal((0, (ulong)length, ReplyFlags.Stable), _client.Do(op, "d", (ulong)offset, (ulong)length, flags: RequestFlags.ForceUnitAccess));
            if (data.Length < (int)size) Array.Resize(ref data, (int)size);
            if (offset < data.Length) data.AsSpan(offset, Math.Min(length, data.Length - offset)).Clear();
            Assert.Equal(size, Size("d"));
            Assert.Equal(data, _client.Read("d", data.Length));
        }
    }

    [Fact]
    public void Truncate_creates_cuts_and_grows_with_zeros()
    {
        Assert.Equal((0, 5000ul), Two(_client.Do(XsegOp.Truncate, "t", length: 5000)));
        Assert.Equal(5000ul, Size("t"));
        byte[] data = Place.Random(5000, 3);
        _client.Write("t", data);
        _client.Do(XsegOp.Truncate, "t", length: 1000);
        _client.Do(XsegOp.Truncate, "t", length: 3000);
        Assert.Equal([.. data[..1000], .. new byte[2000]], _client.Read("t", 3000));
        Assert.Equal(0, _client.Do(XsegOp.Truncate, "t", length: 0).Status);
        Assert.Equal(0ul, Size("t"));
    }

    [Fact]
    public void An_empty_write_creates_and_delete_may_be_repeated()
    {
        Assert.Equal((0, 0ul), Two(_client.Do(XsegOp.Write, "e", data: [])));
        Assert.Equal(0ul, Size("e"));
        Assert.Equal((0, 1ul), Two(_client.Do(XsegOp.Delete, "e")));
        Assert.Equal((0, 0ul), Two(_client.Do(XsegOp.Delete, "e")));
        Assert.Equal(Errno.ENOENT, _client.Do(XsegOp.Info, "e").Status);
    }

    [Fact]
    public void Copy_replaces_the_target_by_the_source_up_to_the_length()
    {
        byte[] data = Place.Random(50_000, 4);
        _client.Write("from", data);
        _client.Write("to", Place.Random(80_000, 5));
        Assert.Equal((0, 50_000ul), Two(_client.Do(XsegOp.Copy, "to", length: Most, source: "from")));
        Assert.Equal((50_000ul, 0), (Size("to"), _client.Read("to", 50_000).AsSpan().SequenceCompareTo(data)));
        Assert.Equal((0, 777ul), Two(_client.Do(XsegOp.Copy, "to", length: 777, source: "from")));
        Assert.Equal(777ul, Size("to"));
        Assert.Equal((0, 0ul), Two(_client.Do(XsegOp.Copy, "to", length: 0, source: "from")));
        Assert.Equal(0ul, Size("to"));
        Assert.Equal((0, 600ul), Two(_client.Do(XsegOp.Copy, "from", length: 600, source: "from")));
        Assert.Equal(data[..600], _client.Read("from", 600));

        Assert.Equal(Errno.ENOENT, _client.Do(XsegOp.Copy, "to", length: 1, source: "none").Status);
        Assert.Equal(Errno.ENOENT, _client.Do(XsegOp.Copy, "to", length: 0, source: "none").Status);
        Assert.Equal(Errno.EEXIST, _client.Do(XsegOp.Copy, "to", length: 600, source: "from", flags: RequestFlags.Exclusive).Status);
        Assert.Equal(0, _client.Do(XsegOp.Copy, "new", length: 600, source: "from", flags: RequestFlags.Exclusive).Status);
        _client.Do(XsegOp.Truncate, "nothing", length: 0);
        Assert.Equal((0, 0ul), Two(_client.Do(XsegOp.Copy, "new", length: 600, source: "nothing")));
        Assert.Equal(0ul, Size("new"));
    }

    [Fact]
    public void Hash_ignores_trailing_zeros()
    {
        byte[] data = Place.Random(70_000, 6);
        data[^1] = 1;
        _client.Write("h", [.. data, .. new byte[5000]]);
        Assert.Equal(SHA256.HashData(data), Hash("h"));
        Assert.Equal(SHA256.HashData([]), Hash("none"));
        Assert.Equal(Errno.ENOENT, _client.Do(XsegOp.Hash, "none", flags: RequestFlags.MustExist).Status);

        byte[] Hash(string name)
        {
            var request = _client.Send(XsegOp.Hash, XsegClient.Name(name));
            Assert.Equal(0, _client.Wait(request));
            byte[] hash = request.Result[..32].ToArray();
            _client.Free(request);
            return hash;
        }
    }

    [Fact]
    public void Locks_belong_to_the_cookie_and_a_waiter_gets_them()
    {
        byte[] mine = Place.Random(64, 1), other = Place.Random(64, 2);
        Assert.Equal(Errno.ENOENT, Lock(XsegOp.Release, mine));
        Assert.Equal(0, Lock(XsegOp.Acquire, mine));
        Assert.Equal(0, Lock(XsegOp.Acquire, mine, RequestFlags.NoSync));
        Assert.Equal(Errno.EBUSY, Lock(XsegOp.Acquire, other, RequestFlags.NoSync));
        Assert.Equal(Errno.EACCES, Lock(XsegOp.Release, other));
        // The record is an object as all others.
        Assert.Equal((0, 512ul), (_client.Do(XsegOp.Info, "lock").Status, _client.Do(XsegOp.Info, "lock").Serviced));

        var waiter = _client.Send(XsegOp.Acquire, XsegClient.Name("lock"), cookie: other);
        Assert.Equal(0, Lock(XsegOp.Release, mine));
        Assert.Equal(0, _client.Wait(waiter));
        _client.Free(waiter);
        Assert.Equal(0, Lock(XsegOp.Release, mine, RequestFlags.Force));
        Assert.Equal(0, Lock(XsegOp.Acquire, mine, RequestFlags.NoSync));

        int Lock(XsegOp op, byte[] cookie, RequestFlags flags = RequestFlags.None) => _client.Do(op, "lock", cookie: cookie, flags: flags).Status;
    }

    [Fact]
    public void Requests_that_make_no_sense_get_an_errno()
    {
        Assert.Equal(Errno.EFBIG, _client.Do(XsegOp.Write, "big", Most - 10, data: new byte[11]).Status);
        Assert.Equal(Errno.EFBIG, _client.Do(XsegOp.Read, "big", Most, 1).Status);
        Assert.Equal(Errno.EFBIG, _client.Do(XsegOp.Truncate, "big", length: Most + 1).Status);
        Assert.Equal(Errno.EFBIG, _client.Do(XsegOp.Discard, "big", 1, Most).Status);
        Assert.Equal(Errno.EFBIG, _client.Do(XsegOp.Copy, "big", length: Most + 1, source: "x").Status);
        Assert.Equal(Errno.EINVAL, _client.Do(XsegOp.Copy, "big", 512, 512, source: "x").Status);
        Assert.Equal(Errno.EINVAL, _client.Do(XsegOp.Info, "").Status);
        Assert.Equal(Errno.EINVAL, _client.Do(XsegOp.Acquire, "").Status);
        Assert.Equal(Errno.ENOTSUP, _client.Do(XsegOp.Open, "v").Status);
        Assert.Equal(0, _client.Do(XsegOp.Ping, "").Status);
    }

    [Fact]
    public void Any_bytes_name_an_object_or_a_lock_of_their_own()
    {
        byte[][] names =
        [
            [0], [1], [0, 0], [0, 1], [1, 0], [1, 1], [1, 2], [0xff], [0xfe], "\ufffd"u8.ToArray(), "a"u8.ToArray(), [(byte)'a', 0], "a/b"u8.ToArray(),
            "\u000161"u8.ToArray(), new byte[256], [.. Enumerable.Repeat((byte)1, 256)], [.. Enumerable.Repeat((byte)'n', 256)], "."u8.ToArray(),
        ];
        for (int i = 0; i < names.Length; i++)
        {
            Answer(XsegOp.Acquire, i, cookie: [(byte)(i + 1)], flags: RequestFlags.NoSync);
        }

        for (int i = 0; i < names.Length; i++) Answer(XsegOp.Release, i, cookie: [(byte)(i + 1)]);
        for (int i = 0; i < names.Length; i++) Answer(XsegOp.Write, i, data: [(byte)i, 1]);

        for (int i = 0; i < names.Length; i++)
        {
            var read = _client.Send(XsegOp.Read, names[i], 0, 2);
            Assert.Equal(0, _client.Wait(read));
            Assert.Equal([(byte)i, 1], XsegClient.Data(read));
            _client.Free(read);
        }

        void Answer(XsegOp op, int i, byte[]? data = null, byte[]? cookie = null, RequestFlags flags = RequestFlags.None)
        {
            var request = _client.Send(op, names[i], data: data, cookie: cookie, flags: flags);
            Assert.True(_client.Wait(request) == 0, $"{op} {Convert.ToHexString(names[i])}: {request.Status}");
            _client.Free(request);
        }
    }

    [Fact]
    public void Pages_that_are_not_the_requests_own_are_neither_written_nor_filled()
    {
        foreach (var op in new[] { XsegOp.Write, XsegOp.Read })
        {
            Assert.True(_client.Port.TryAllocate(out var request));
            _client.Port.Prepare(request, op, 1, "b"u8, Hash128.Of("b"u8), 0, 8192);
            Assert.True(_client.Port.TryAttachPages(request, payload: true));
            Assert.True(request.TryData(out var data));
            var kept = data.Get(1);
            data.Set(1, new Xseg.Layout.Extent(kept.Page, kept.Generation + 1));
            _client.Submit(request);
            Assert.Equal(Errno.EBADMSG, _client.Wait(request));
            data.Set(1, kept);
            _client.Free(request);
        }

        Assert.Equal(Errno.ENOENT, _client.Do(XsegOp.Info, "b").Status);
    }

    [Fact]
    public void A_part_that_was_written_before_is_left_alone()
    {
        byte[] before = Place.Random(5 * 4096, 1), data = Place.Random(4 * 4096, 2);
        _client.Write("spent", before);
        Assert.True(_client.Port.TryAllocate(out var request));
        _client.Port.Prepare(request, XsegOp.Write, 1, "spent"u8, Hash128.Of("spent"u8), 100, (ulong)data.Length);
        Assert.True(_client.Port.TryAttachPages(request, payload: true));
        Assert.True(request.TryData(out var pages));
        XsegClient.Fill(request, data);
        foreach (int i in new[] { 1, 2 }) pages.Set(i, pages.Get(i).AsSpent());
        _client.Submit(request);
        Assert.Equal(0, _client.Wait(request));
        Assert.Equal(ReplyFlags.None, request.Reply);
        _client.Free(request);
        byte[] expected = [.. before];
        data[..3996].CopyTo(expected, 100);
        data[(3 * 4096 - 100)..].CopyTo(expected, 3 * 4096);
        Assert.Equal(expected, _client.Read("spent", expected.Length));
    }

#if !DEBUG // There async methods' state machines are classes.
    [Fact]
    public void In_the_steady_state_reads_and_writes_allocate_nothing_on_the_reactor()
    {
        byte[] data = Place.Random(65536, 1);
        Round(200);
        long before = Allocated();
        Round(500);
        long bytes = Allocated() - before;
        // The two questions themselves cost a little.
        Assert.True(bytes < 4096, $"{bytes} bytes for 1,500 requests");

        long Allocated() => _host.On(() => Task.FromResult(GC.GetAllocatedBytesForCurrentThread()));

        void Round(int count)
        {
            for (int i = 0; i < count; i++)
            {
                var requests = new Request[3];
                requests[0] = _client.Send(XsegOp.Write, XsegClient.Name($"n{i % 50}"), 512, data: data, scatter: true);
                requests[1] = _client.Send(XsegOp.Read, XsegClient.Name($"n{i % 50}"), 512, 65536);
                requests[2] = _client.Send(XsegOp.Read, XsegClient.Name($"m{i % 50}"), 512, 4096, ownPages: true);
                foreach (var request in requests)
                {
                    Assert.Equal(0, _client.Wait(request));
                    _client.Free(request);
                }
            }
        }
    }

#endif

    public void Dispose()
    {
        _client.Dispose();
        _host.Dispose();
        Assert.False(File.Exists(_place.StatePath));
        _place.Dispose();
    }

    private ulong Size(string name)
    {
        var (status, size, _) = _client.Do(XsegOp.Info, name);
        Assert.Equal(0, status);
        return size;
    }

    private static (int, ulong) Two((int Status, ulong Serviced, ReplyFlags) outcome) => (outcome.Status, outcome.Serviced);
}
