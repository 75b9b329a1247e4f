using System.Buffers.Binary;
using System.Text;
using Archipelago.Runtime;
using Archipelago.Vlmcd.Format;

namespace Archipelago.Vlmcd.Tests;

public class FormatTests
{
    internal static VolumeHeader Header(string name = "disk") => new()
    {
        Name = name,
        Id = 0x0123456789abcdef,
        Size = 1 << 20,
        TrimEnd = 3 << 20,
        ObjectSize = 16384,
        Created = 1_700_000_000_000_000_000,
        CreatedBy = new UInt128(1, 2),
        Sequence = 7,
    };

    [Fact]
    public void A_header_reads_back_as_written()
    {
        var block = new byte[512];
        Header().Write(block);
        Assert.Equal(Header(), VolumeHeader.Read(block, "disk"));
        Assert.Equal("ARCHVOL\0"u8.ToArray(), block[..8]);
        Assert.Equal("disk", Encoding.ASCII.GetString(block, 82, 4));
    }

    public static TheoryData<string, int, Action<byte[]>> Damages => new()
    {
        { "magic", Errno.EPROTO, block => block[0] ^= 1 },
        { "all zeros", Errno.EPROTO, Array.Clear },
        { "version", Errno.EPROTO, Sealed(block => block[8] = 9) },
        { "checksum", Errno.EIO, block => block[300] ^= 1 },
        { "length", Errno.EPROTO, Sealed(block => block[12] = 1) },
        { "size 0", Errno.EPROTO, Sealed(block => block.AsSpan(16, 8).Clear()) },
        { "size odd", Errno.EPROTO, Sealed(block => block[16] = 1) },
        { "size huge", Errno.EPROTO, Sealed(block => block[23] = 0x7f) },
        { "trim end below size", Errno.EPROTO, Sealed(block => block.AsSpan(24, 8).Clear()) },
        { "object size", Errno.EPROTO, Sealed(block => BinaryPrimitives.WriteInt32LittleEndian(block.AsSpan(32), 12345)) },
        { "negative object size", Errno.EPROTO, Sealed(block => BinaryPrimitives.WriteInt32LittleEndian(block.AsSpan(32), int.MinValue)) },
        { "flags", Errno.EPROTO, Sealed(block => block[36] = 1) },
        { "name", Errno.EPROTO, Sealed(block => block[82] ^= 1) },
        { "name length", Errno.EPROTO, Sealed(block => block[81] = 0xff) },
    };

    private static Action<byte[]> Sealed(Action<byte[]> damage) => block =>
    {
        damage(block);
        Crc32C.Seal(block);
    };

    [Theory]
    [MemberData(nameof(Damages))]
    public void A_bad_header_is_refused_with_a_reason(string what, int errno, Action<byte[]> damage)
    {
        var block = new byte[512];
        Header().Write(block);
        damage(block);
        var refused = Assert.Throws<ErrnoException>(() => VolumeHeader.Read(block, "disk"));
        Assert.True(refused.Errno == errno, $"{what}: {refused.Symbol}");
        Assert.Contains("v.disk", refused.Message);
    }

    [Fact]
    public void Random_bytes_are_never_taken_for_a_header_or_a_record()
    {
        var random = new Random(1);
        var block = new byte[512];
        for (int i = 0; i < 20_000; i++)
        {
            Header().Write(block);
            for (int n = random.Next(1, 8); n > 0; n--) block[random.Next(512)] ^= (byte)random.Next(1, 256);
            if (random.Next(2) == 0) Crc32C.Seal(block);
            try
            {
                var read = VolumeHeader.Read(block, "disk");
                Assert.True(read.TrimEnd >= read.Size && read.Size > 0);
            }
            catch (ErrnoException)
            {
            }

            new CatalogueRecord { State = RecordState.Live, Name = "disk", Id = 1, Size = 512, ObjectSize = 4096 }.Write(block);
            for (int n = random.Next(1, 8); n > 0; n--) block[random.Next(512)] ^= (byte)random.Next(1, 256);
            bool seal = random.Next(2) == 0;
            if (seal) Crc32C.Seal(block);
            var record = CatalogueRecord.Read(block, out string why);
            if (!seal) Assert.True(record == null, why);
        }
    }

    [Fact]
    public void A_record_reads_back_as_written_and_zeros_are_free()
    {
        var record = new CatalogueRecord { State = RecordState.Deleting, Name = "a.b_c-D9", Id = 5, Size = 1024, ObjectSize = 4096, Created = 3 };
        var block = new byte[512];
        record.Write(block);
        Assert.Equal(record, CatalogueRecord.Read(block, out _));
        Assert.Equal(CatalogueRecord.Free, CatalogueRecord.Read(new byte[512], out _));
    }

    [Theory]
    [InlineData("a", true)]
    [InlineData("Disk-1_x.raw", true)]
    [InlineData("", false)]
    [InlineData(".hidden", false)]
    [InlineData("a/b", false)]
    [InlineData("a b", false)]
    [InlineData("é", false)]
    public void Names_of_volumes(string name, bool valid)
    {
        Assert.Equal(valid, VolumeName.IsValid(Encoding.UTF8.GetBytes(name)));
        Assert.True(VolumeName.IsValid(Encoding.UTF8.GetBytes(new string('x', 89))));
        Assert.False(VolumeName.IsValid(Encoding.UTF8.GetBytes(new string('x', 90))));
    }
}
