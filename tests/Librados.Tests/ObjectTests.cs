using Archipelago.Radosd.Librados;
using Xunit;

namespace Archipelago.Librados.Tests;

[Collection(MemoryClusterGroup.Name)]
public sealed unsafe class ObjectTests(MemoryCluster cluster) : IDisposable
{
    private readonly Client _client = new(cluster, ns: Guid.NewGuid().ToString("N"));

    public void Dispose() => _client.Dispose();

    [Fact]
    public void What_was_written_is_read_back()
    {
        byte[] data = Client.Bytes(70_000, 1);
        Assert.Equal(0, _client.Write("a", data, 4096));
        Assert.Equal(data, _client.Read("a", data.Length, 4096));
        Assert.Equal(new byte[4096], _client.Read("a", 4096));
    }

    [Fact]
    public void A_read_over_the_end_is_short_and_leaves_the_rest_of_the_buffer()
    {
        _client.Write("a", Client.Bytes(1000, 1));
        new Span<byte>(_client.Memory, 4096).Fill(0xEE);
        RadosResult result = _client.ReadRaw("a", 4096, 600);
        Assert.Equal((0, 400), (result.Errno, result.Length));
        Assert.Equal(Client.Bytes(1000, 1)[600..], new ReadOnlySpan<byte>(_client.Memory, 400).ToArray());
        Assert.Equal(-1, new ReadOnlySpan<byte>(_client.Memory + 400, 3696).IndexOfAnyExcept((byte)0xEE));
        Assert.Empty(_client.Read("a", 4096, 1000));
        Assert.Empty(_client.Read("a", 4096, 1 << 20));
    }

    [Fact]
    public void A_missing_object_gives_ENOENT_to_read_stat_and_remove()
    {
        Assert.Equal(RadosErrno.ENOENT, _client.ReadRaw("missing", 10).Errno);
        Assert.Equal(RadosErrno.ENOENT, _client.Stat("missing").Errno);
        Assert.Equal(RadosErrno.ENOENT, _client.Await(_client.Pool.Remove(Client.Name("missing"), null)).Errno);
    }

    [Fact]
    public void A_removed_object_is_gone()
    {
        _client.Write("a", [1, 2, 3]);
        Assert.Equal(0, _client.Await(_client.Pool.Remove(Client.Name("a"), null)).Errno);
        Assert.Equal(RadosErrno.ENOENT, _client.ReadRaw("a", 10).Errno);
    }

    [Fact]
    public void Truncate_cuts_extends_with_zeros_and_creates_nothing()
    {
        byte[] data = Client.Bytes(100, 1);
        _client.Write("a", data);
        Assert.Equal(0, _client.Await(_client.Pool.Truncate(Client.Name("a"), 40, null)).Errno);
        Assert.Equal(data[..40], _client.Read("a", 200));
        Assert.Equal(0, _client.Await(_client.Pool.Truncate(Client.Name("a"), 60, null)).Errno);
        Assert.Equal([.. data[..40], .. new byte[20]], _client.Read("a", 200));
        Assert.Equal(0, _client.Await(_client.Pool.Truncate(Client.Name("none"), 60, null)).Errno);
        Assert.Equal(RadosErrno.ENOENT, _client.Stat("none").Errno);
    }

    [Fact]
    public void Zero_clears_a_range_cuts_at_the_end_and_creates_nothing()
    {
        byte[] data = Client.Bytes(100, 1);
        _client.Write("a", data);
        Assert.Equal(0, _client.Await(_client.Pool.Zero(Client.Name("a"), 10, 20, null)).Errno);
        Assert.Equal([.. data[..10], .. new byte[20], .. data[30..]], _client.Read("a", 200));
        Assert.Equal(0, _client.Await(_client.Pool.Zero(Client.Name("a"), 90, 1000, null)).Errno);
        Assert.Equal(90ul, _client.Stat("a").ObjectSize);
        Assert.Equal(0, _client.Await(_client.Pool.Zero(Client.Name("a"), 95, 1000, null)).Errno);
        Assert.Equal(90ul, _client.Stat("a").ObjectSize);
        Assert.Equal(0, _client.Await(_client.Pool.Zero(Client.Name("none"), 0, 10, null)).Errno);
        Assert.Equal(RadosErrno.ENOENT, _client.Stat("none").Errno);
    }

    [Fact]
    public void WriteFull_replaces_everything()
    {
        _client.Write("a", Client.Bytes(100, 1));
        Assert.Equal(0, _client.Await(_client.Pool.WriteFull(Client.Name("a"), [7, 8], null)).Errno);
        Assert.Equal([7, 8], _client.Read("a", 200));
    }

    [Fact]
    public void Stat_tells_size_and_time_and_versions_rise()
    {
        ulong first = _client.Await(_client.Pool.Write(Client.Name("a"), new byte[3000], 0, null)).Version;
        ulong second = _client.Await(_client.Pool.Write(Client.Name("a"), new byte[1], 5000, null)).Version;
        Assert.True(second > first && first > 0);
        RadosResult stat = _client.Stat("a");
        Assert.Equal(5001ul, stat.ObjectSize);
        Assert.InRange(stat.ModifiedSeconds, 1_600_000_000, DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 1);
    }

    [Fact]
    public void Attributes_are_set_read_too_long_for_a_buffer_and_removed()
    {
        byte[] value = Client.Bytes(300, 3);
        ReadOnlySpan<byte> attribute = "user.x"u8;
        byte* memory = _client.Memory;
        Assert.Equal(0, _client.Await(_client.Pool.SetAttribute(Client.Name("a"), attribute, value, null)).Errno);
        RadosResult result = _client.Await(_client.Pool.GetAttribute(Client.Name("a"), attribute, memory, 4096, null));
        Assert.Equal((0, 300), (result.Errno, result.Length));
        Assert.Equal(value, new ReadOnlySpan<byte>(memory, 300).ToArray());
        Assert.Equal(RadosErrno.ERANGE,
            _client.Await(_client.Pool.GetAttribute(Client.Name("a"), attribute, memory, 299, null)).Errno);
        Assert.Equal(0, _client.Await(_client.Pool.RemoveAttribute(Client.Name("a"), attribute, null)).Errno);
        const int enodata = 61;
        Assert.Equal(enodata,
            _client.Await(_client.Pool.GetAttribute(Client.Name("a"), attribute, memory, 4096, null)).Errno);
    }

    [Fact]
    public void Namespaces_do_not_see_each_other()
    {
        RadosPool other = _client.Cluster.OpenPool(DevCluster.Pool, _client.Queue, "another-" + _client.Pool.Namespace);
        _client.Write("a", [1]);
        Assert.Equal(RadosErrno.ENOENT, _client.Await(other.Stat(Client.Name("a"), null)).Errno);
        Assert.Equal(0, _client.Await(other.Write(Client.Name("a"), [2, 2], 0, null)).Errno);
        Assert.Equal([1], _client.Read("a", 10));
    }

    [Fact]
    public void State_and_token_come_back_with_the_result()
    {
        RadosResult result = _client.Await(_client.Pool.Write(Client.Name("a"), [1], 0, this, 0x1234_5678_9ABC));
        Assert.Same(this, result.State);
        Assert.Equal(0x1234_5678_9ABC, result.Token);
    }

    [Fact]
    public void Bad_names_and_lengths_are_refused_before_anything_is_submitted()
    {
        Assert.Equal(RadosErrno.EINVAL, _client.Pool.Write([], [1], 0, null));
        Assert.Equal(RadosErrno.EINVAL, _client.Pool.Write("a\0b"u8, [1], 0, null));
        Assert.Equal(RadosErrno.ENAMETOOLONG, _client.Pool.Write(new byte[513].AsSpan(), [1], 0, null));
        Assert.Equal(RadosErrno.EINVAL, _client.Pool.SetAttribute("a"u8, "x\0"u8, [1], null));
        // Length 0 would read the whole object over the buffer's end.
        Assert.Equal(RadosErrno.EINVAL, _client.Pool.Read("a"u8, _client.Memory, 0, 0, null));
        Assert.Equal(0, _client.Queue.InFlight);
        string longest = new('n', 512);
        Assert.Equal(0, _client.Write(longest, [1]));
    }

    [Fact]
    public void Names_of_every_byte_but_NUL_name_different_objects()
    {
        for (int b = 1; b < 256; b++)
            Assert.Equal(0, _client.Await(_client.Pool.Write([(byte)'x', (byte)b], [(byte)b], 0, null)).Errno);
        for (int b = 1; b < 256; b++)
        {
            Assert.Equal(1, _client.Await(_client.Pool.Read([(byte)'x', (byte)b], _client.Memory, 10, 0, null)).Length);
            Assert.Equal((byte)b, *_client.Memory);
        }
    }
}
