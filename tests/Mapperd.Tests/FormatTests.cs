using System.Text;
using Archipelago.Mapperd.Format;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Mapperd.Tests;

public class FormatTests
{
    private static readonly VolumeRoot Root = new()
    {
        Id = 0x0123456789abcdef,
        Name = "disk",
        Size = 1 << 20,
        ObjectSize = 16384,
        Layer = 7,
        Generation = 8,
        Parent = 2,
        NextSnapshot = 3,
        Slots = 4,
        BaseVolume = 5,
        BaseSnapshot = 6,
        Epoch = 9,
        Sequence = 10,
        Created = 11,
        CreatedBy = new UInt128(1, 2),
        ChangedBy = new UInt128(3, 4),
        IsDeleted = true,
    };

    private static readonly SnapshotRecord Snapshot = new() { State = SnapshotState.Live, Number = 5, Parent = 4, Generation = 6, Size = 1024, Layer = 7, Created = 8, Name = "s-1" };

    private static readonly CatalogueRecord Record = new() { State = RecordState.Deleting, Name = "a.b_c-D9", Id = 5, Size = 1024, ObjectSize = 4096, Created = 3, BaseVolume = 6, BaseSnapshot = 7 };

    [Fact]
    public void Everything_reads_back_as_written()
    {
        Assert.Equal(Root, VolumeRoot.Read(Root.ToSector(), Root.Id));
        Assert.Equal(Snapshot, SnapshotRecord.Read(Snapshot.ToSector(), Root, out _));
        var left = Snapshot with { Name = "", State = SnapshotState.Purged };
        Assert.Equal(left, SnapshotRecord.Read(left.ToSector(), Root, out _));
        Assert.Equal(Record, CatalogueRecord.Read(Record.ToSector(), out _));
        var alone = Record with { IsAlone = true };
        Assert.Equal(alone, CatalogueRecord.Read(alone.ToSector(), out _));
        Assert.Equal(77ul, NameRecord.Read(NameRecord.ToSector(77, "disk"), "disk"));
        Assert.Equal("ARCHVOL\0"u8.ToArray(), Root.ToSector()[..8]);
        Assert.Equal("disk", Encoding.ASCII.GetString(Root.ToSector(), 146, 4));
    }

    [Fact]
    public void Zeros_are_free()
    {
        Assert.Null(SnapshotRecord.Read(new byte[512], Root, out string? snapshot));
        Assert.Null(CatalogueRecord.Read(new byte[512], out string? record));
        Assert.Equal((null, null), (snapshot, record));
        Assert.Equal(0ul, NameRecord.Read(new byte[512], "disk"));
        Assert.Equal(new byte[512], (Record with { State = RecordState.Free }).ToSector());
    }

    [Fact]
    public void A_name_that_belongs_to_another_is_refused() =>
        Assert.Equal(Errno.EPROTO, Assert.Throws<ErrnoException>(() => NameRecord.Read(NameRecord.ToSector(77, "disk"), "other")).Errno);

    [Fact]
    public void A_snapshot_never_comes_from_itself_or_from_a_later_one()
    {
        foreach (ulong parent in (ulong[])[5, 6])
        {
            Assert.Null(SnapshotRecord.Read((Snapshot with { Parent = parent }).ToSector(), Root, out string? why));
            Assert.Contains("comes from", why);
        }
    }

    [Fact]
    public void Damage_of_a_map_is_confined_to_its_sector_and_unknown_bits_are_damage()
    {
        var sector = new byte[512];
        MapSector.Set(sector, 0, MapEntry.Of(5, true));
        Sector.U64(sector, 8, 1ul << 60);
        MapSector.Seal(sector, 9, 3);
        Assert.True(MapSector.IsSound(sector, 9, 3));
        Assert.False(MapSector.IsSound(sector, 8, 3));
        Assert.False(MapSector.IsSound(sector, 9, 2));
        Assert.Equal(MapEntry.Of(5, true), MapSector.Get(sector, 0));
        Assert.True(MapSector.Get(sector, 1).IsDamaged);
        Assert.True(MapSector.Get(sector, 2).IsDamaged);
        Assert.False(MapSector.IsSound(new byte[512], 0, 0));
    }

    [Fact]
    public void Random_bytes_are_never_taken_for_anything()
    {
        var random = new Random(1);
        for (int i = 0; i < 20_000; i++)
        {
            bool isSealed = random.Next(2) == 0;
            byte[] root = Damaged(Root.ToSector()), snapshot = Damaged(Snapshot.ToSector()), record = Damaged(Record.ToSector()), name = Damaged(NameRecord.ToSector(77, "disk"));
            try
            {
                var read = VolumeRoot.Read(root, Root.Id);
                Assert.True(isSealed && read.Size > 0 && read.Parent < read.NextSnapshot && VolumeName.IsValid(Encoding.ASCII.GetBytes(read.Name)));
            }
            catch (ErrnoException)
            {
            }

            if (SnapshotRecord.Read(snapshot, Root, out _) is { } one) Assert.True(isSealed && one.Parent < one.Number);
            if (CatalogueRecord.Read(record, out _) is { } listed) Assert.True(isSealed && VolumeName.IsValid(Encoding.ASCII.GetBytes(listed.Name)));
            try
            {
                _ = NameRecord.Read(name, "disk");
                Assert.True(isSealed);
            }
            catch (ErrnoException)
            {
            }

            byte[] Damaged(byte[] bytes)
            {
                for (int n = random.Next(1, 8); n > 0; n--) bytes[random.Next(512)] ^= (byte)random.Next(1, 256);
                if (isSealed) Crc32C.Seal(bytes);
                // An even number of changes of one byte is none.
                else bytes[200] ^= (byte)(Crc32C.IsSealed(bytes) ? 1 : 0);
                return bytes;
            }
        }
    }

    [Theory]
    [InlineData("a", true)]
    [InlineData("Disk-1_x.raw", true)]
    [InlineData("", false)]
    [InlineData(".hidden", false)]
    [InlineData("a/b", false)]
    [InlineData("a b", false)]
    [InlineData("a@b", false)]
    [InlineData("a\u0007", false)]
    [InlineData("é", false)]
    public void Names_of_volumes(string name, bool valid)
    {
        Assert.Equal(valid, VolumeName.IsValid(Encoding.UTF8.GetBytes(name)));
        Assert.True(VolumeName.IsValid(Encoding.UTF8.GetBytes(new string('x', 89))));
        Assert.False(VolumeName.IsValid(Encoding.UTF8.GetBytes(new string('x', 90))));
    }
}
