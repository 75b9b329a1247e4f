using Archipelago.Runtime;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Locks.Tests;

public class RecordTests
{
    private static readonly LockRecord Full = new()
    {
        Held = true,
        Epoch = 7,
        Renewals = 8,
        Lease = 9,
        Since = 10,
        Renewed = 11,
        Cookie = Rig.Alice,
        Owner = "höst7 pid 123",
        Address = new string('a', LockRecord.MaxAddress),
        Fence = "b",
    };

    [Fact]
    public void A_record_is_read_as_it_was_written()
    {
        byte[] bytes = Full.ToBytes();
        Assert.Equal(LockRecord.Size, bytes.Length);
        var read = LockRecord.Parse(bytes, out _)!;
        Assert.Equal(Full with { Cookie = read.Cookie }, read);
        Assert.Equal(Full.Cookie, read.Cookie);
        Assert.Equal(bytes, read.ToBytes());
    }

    [Fact]
    public void Its_bytes_lie_where_the_documentation_says()
    {
        byte[] bytes = Full.ToBytes();
        Assert.Equal("XLOCKREC"u8.ToArray(), bytes[..8]);
        Assert.Equal([1, 1, 7, 8, 9, 10, 11], new[] { 8, 12, 16, 24, 32, 40, 48 }.Select(at => (int)bytes[at]));
        Assert.Equal(Rig.Alice, bytes[64..128]);
        Assert.Equal("h"u8.ToArray(), bytes[128..129]);
        Assert.Equal("a"u8.ToArray(), bytes[256..257]);
        Assert.Equal("b"u8.ToArray(), bytes[352..353]);
        Assert.True(Crc32C.IsSealed(bytes));
    }

    [Fact]
    public void Zeros_are_a_lock_that_nobody_has_held() => Assert.Same(LockRecord.Never, LockRecord.Parse(new byte[512], out _));

    [Fact]
    public void Any_changed_bit_is_damage()
    {
        byte[] good = Full.ToBytes();
        for (int bit = 0; bit < good.Length * 8; bit += 3)
        {
            byte[] bad = [.. good];
            bad[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Null(LockRecord.Parse(bad, out string wrong));
            Assert.NotEmpty(wrong);
        }
    }

    [Fact]
    public void Sealed_nonsense_is_refused_or_can_be_written_again()
    {
        var random = new Random(1);
        for (int i = 0; i < 5000; i++)
        {
            byte[] bytes = Full.ToBytes();
            for (int changes = random.Next(1, 40); changes > 0; changes--) bytes[random.Next(8, 508)] = (byte)random.Next(256);
            if (i % 2 == 0) random.NextBytes(bytes.AsSpan(128, 320));
            Crc32C.Seal(bytes);
            if (LockRecord.Parse(bytes, out _) is { } read) Assert.NotNull(LockRecord.Parse(read.ToBytes(), out _));
        }

        Assert.Null(LockRecord.Parse(new byte[511], out _));
        Assert.Throws<ErrnoException>(() => (Full with { Address = new string('x', 97) }).ToBytes());
    }

    [Fact]
    public void A_name_of_a_volumes_lock_has_its_id_in_it()
    {
        Assert.Equal(Rig.Name, System.Text.Encoding.ASCII.GetString(LockName.Of(Rig.Id)));
        Assert.Equal(Rig.Id, LockName.IdOf(LockName.Of(Rig.Id)));
        foreach (string other in (string[])["lock", "l.", "l.00112233445566AA", "l.00112233445566a", "l.00112233445566aaa", "x.00112233445566aa", "l.0011223344 566aa"])
            Assert.Equal(0ul, LockName.IdOf(System.Text.Encoding.ASCII.GetBytes(other)));
    }
}
