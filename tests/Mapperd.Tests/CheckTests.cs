using System.Text;
using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Format;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;
using static Archipelago.Mapperd.Tests.Damages;

namespace Archipelago.Mapperd.Tests;

/// <summary>A check names what is damaged in the store, and what it costs; what is sound, or being changed, it does not name.</summary>
public class CheckTests
{
    private const int O = Rig.ObjectSize;

    [Fact]
    public void A_sound_store_has_no_problems_and_a_check_writes_nothing()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        rig.UntilIdle();
        rig.OnStore(() => rig.Cut.Trace = []);
        var (findings, result) = world.Check(objects: false);
        Assert.Empty(findings);
        Assert.Equal(4, result.Volumes);
        Assert.Null(result.Unreferenced);
        Assert.Empty(rig.OnStore(() => rig.Cut.Trace!.ToArray()));
        (findings, result) = world.Check();
        Assert.Empty(findings);
        Assert.Empty(result.Skipped);
        Assert.Equal(0, result.Unreferenced);
        Assert.Equal(1, world.Check("clone").Result.Volumes);
        Assert.Equal(Errno.ENOENT, Refusal(() => world.Check("nobody")).Errno);
        Assert.Equal(Errno.EINVAL, Refusal(() => world.Check("../x")).Errno);
    }

    [Fact]
    public void A_damaged_sector_of_a_chunk_is_named_with_the_bytes_that_it_covers()
    {
        using var rig = new Rig();
        var world = Shared(rig, 130);
        world.Close("disk");
        string chunk = Name(rig, 'm');
        Alter(rig, chunk, 512, bytes => bytes[100] ^= 1);
        var (findings, result) = world.Check();
        var finding = Assert.Single(findings);
        Assert.Equal(("disk", chunk, 62ul * O, 62ul * O), (finding.Volume, finding.Object, finding.Offset!.Value, finding.Length!.Value));
        Assert.Contains("sector 1 ", finding.What);
        Assert.Equal(1, result.Problems);
        // What nothing refers to is not known then.
        Assert.Null(result.Unreferenced);
        Assert.Contains(result.Skipped, skipped => skipped.Contains("disk", StringComparison.Ordinal));
        // Behind the end nobody misses it.
        Alter(rig, chunk, 512, bytes => bytes[100] ^= 1);
        Alter(rig, chunk, 3 * 512, bytes => bytes[100] ^= 1);
        Assert.Empty(world.Check().Findings);
        Alter(rig, chunk, 2 * 512, bytes => bytes[100] ^= 1);
        finding = Assert.Single(world.Check().Findings);
        Assert.Equal((124ul * O, 6ul * O), (finding.Offset!.Value, finding.Length!.Value));
    }

    [Theory]
    [InlineData('m', "disk", 4)]
    [InlineData('o', "disk", 1)]
    [InlineData('d', "disk", 4)]
    [InlineData('D', "disk@s1", 4)]
    public void An_object_that_is_missing_is_named_with_the_bytes_that_it_costs(char kind, string volume, int objects)
    {
        using var rig = new Rig();
        var world = Shared(rig, 4);
        world.Close("disk");
        var (root, snapshot) = rig.MapperdNode.Run(async () => (await rig.Mapperd.Volumes.LookAsync("disk")) is var seen ? (seen.Root!, seen.Find("s1")!) : default);
        string missing = kind switch
        {
            'm' => Name(rig, 'm'),
            'o' => rig.Objects().Single(name => name.StartsWith("o." + Name(rig, 'm')[2..16], StringComparison.Ordinal)),
            'd' => $"d.{root.Id:x16}.{root.Generation:x16}",
            _ => $"d.{root.Id:x16}.{snapshot.Generation:x16}",
        };
        Assert.Empty(world.Check().Findings);
        Lose(rig, missing);
        var finding = Assert.Single(world.Check().Findings);
        Assert.Equal((volume, missing, 0ul, (ulong)(objects * O)), (finding.Volume, finding.Object, finding.Offset!.Value, finding.Length!.Value));
        Assert.Contains("missing", finding.What);
        Assert.Equal(kind == 'o' ? 0 : 1, world.Check("disk", objects: false).Result.Problems);
    }

    [Fact]
    public void A_damaged_directory_and_entries_that_make_no_sense_are_named()
    {
        using var rig = new Rig();
        var world = Shared(rig, 130);
        world.Close("disk");
        var root = rig.MapperdNode.Run(async () => (await rig.Mapperd.Volumes.LookAsync("disk")).Root!);
        string directory = $"d.{root.Id:x16}.{root.Generation:x16}", chunk = Name(rig, 'm');
        Alter(rig, directory, 0, bytes => bytes[3] ^= 1);
        Assert.Equal(directory, Assert.Single(world.Check("disk").Findings).Object);
        Alter(rig, directory, 0, bytes => bytes[3] ^= 1);
        Alter(rig, chunk, 512, Sealed(bytes => bytes[7 + 8 * 3] = 0x40));
        var finding = Assert.Single(world.Check("disk").Findings);
        Assert.Equal((chunk, 65ul * O, (ulong)O), (finding.Object, finding.Offset!.Value, finding.Length!.Value));
        Alter(rig, directory, 0, Sealed(bytes => bytes[7] = 0x40));
        finding = Assert.Single(world.Check("disk").Findings);
        Assert.Equal((directory, 0ul, 130ul * O), (finding.Object, finding.Offset!.Value, finding.Length!.Value));
    }

    [Theory]
    [MemberData(nameof(DamageTests.Roots), MemberType = typeof(DamageTests))]
    public void A_bad_header_is_named_and_all_other_volumes_are_checked(string what, int errno, Action<byte[]> damage)
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        ulong id = IdOf(rig, "lone");
        Alter(rig, $"v.{id:x16}", 0, damage);
        foreach (string? volume in new[] { null, "lone" })
        {
            var (findings, result) = world.Check(volume);
            Assert.True(findings.Count == 1 && findings[0].Object == $"v.{id:x16}" && findings[0].Volume == "lone" && errno != 0, $"{what}: {string.Join("; ", findings)}");
            Assert.Equal(volume == null ? 3 : 0, result.Volumes);
        }
    }

    [Fact]
    public void A_missing_header_is_named_and_nothing_of_its_volume_is_collected()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        ulong id = IdOf(rig, "base");
        int objects = rig.Objects().Count;
        Lose(rig, $"v.{id:x16}");
        var findings = world.Check().Findings;
        Assert.Equal(["base", "clone"], findings.Select(finding => finding.Volume).Order(StringComparer.Ordinal));
        Assert.Contains("missing", findings.Single(finding => finding.Volume == "base").What);
        Assert.Equal(Errno.EUCLEAN, Refusal(() => world.Collect()).Errno);
        Assert.Equal(objects - 1, rig.Objects().Count);
    }

    [Fact]
    public void Damaged_records_of_snapshots_and_parents_that_are_not_there_are_named()
    {
        using var rig = new Rig();
        var world = Shared(rig, 4);
        world.Close("disk");
        world.Run(Op.Snapshot("disk", "s2"));
        string header = $"v.{IdOf(rig, "disk"):x16}";
        Alter(rig, header, 512, bytes => bytes[20] ^= 1);
        var finding = Assert.Single(world.Check().Findings);
        Assert.Equal(("disk", header), (finding.Volume, finding.Object));
        Assert.StartsWith("sector 1: is damaged", finding.What);
        Alter(rig, header, 512, Array.Clear);
        finding = Assert.Single(world.Check().Findings);
        Assert.Contains("snapshot 2 s2 comes from snapshot 1", finding.What);
        Alter(rig, header, 1024, Array.Clear);
        Assert.Contains("the volume comes from snapshot 2", Assert.Single(world.Check().Findings).What);
    }

    [Fact]
    public void Clones_of_each_other_and_of_snapshots_that_are_not_there_are_named()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        ulong one = IdOf(rig, "base"), other = IdOf(rig, "clone");
        Forge(one, other, 1);
        var findings = world.Check().Findings;
        Assert.Equal(2, findings.Count(finding => finding.What.StartsWith("is a clone of itself", StringComparison.Ordinal)));
        Assert.Contains("@#1 instead of", Assert.Single(findings, finding => finding.Object.StartsWith("c.", StringComparison.Ordinal)).What.Replace("base 0000000000000000@#0 instead of", "@#1 instead of", StringComparison.Ordinal));
        Forge(one, 0, 0);
        Forge(other, one, 77);
        Assert.Contains("snapshot 77", world.Check("clone").Findings.Single(finding => finding.Object.StartsWith("v.", StringComparison.Ordinal)).What);

        void Forge(ulong volume, ulong from, ulong snapshot) => Alter(rig, $"v.{volume:x16}", 0, Sealed(bytes =>
        {
            BitConverter.TryWriteBytes(bytes.AsSpan(72), from);
            BitConverter.TryWriteBytes(bytes.AsSpan(80), snapshot);
        }));
    }

    [Fact]
    public void Names_and_records_that_disagree_with_the_header_are_named_and_repaired()
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Scenarios.Family(rig);
        ulong id = IdOf(rig, "lone");
        int slot = rig.MapperdNode.Run(async () => (await rig.Mapperd.Volumes.Catalogue.ReadAsync()).Single(entry => entry.Record.Id == id).Slot);
        Set(rig, "n.old", NameRecord.ToSector(id, "old"));
        Set(rig, "n.nobody", NameRecord.ToSector(77, "nobody"));
        Set(rig, "n.noise", Bytes.Of(3, 512));
        Set(rig, "n.lone", new byte[512]);
        Alter(rig, "c.0000", (ulong)slot * 512, Sealed(bytes => bytes[25] ^= 2));
        var record = rig.ClientNode.Run(() => rig.Client.Read("blocks", "c.0000", 0, (ulong)slot * 512, 512)).Data;
        Set(rig, "c.0000", record, 40 * 512);
        string[] expected = [$"c.0000 sector {slot}", "c.0000 sector 40", "n.lone", "n.nobody", "n.noise", "n.old"];
        var (findings, result) = world.Check(objects: false);
        Assert.Equal(expected, findings.Select(finding => finding.Object).Order(StringComparer.Ordinal));
        Assert.Equal(6, result.Problems);
        Assert.Equal(Errno.ENOENT, rig.Do(XsegOp.Info, "lone").Status);
        (findings, result) = world.Check(objects: false, repair: true);
        Assert.Equal((1, 5), ((int)result.Problems, (int)result.Repaired));
        Assert.Equal(expected, findings.Select(finding => finding.Object).Order(StringComparer.Ordinal));
        Assert.Equal("n.nobody", Assert.Single(world.Check(objects: false).Findings).Object);
        world.Verify();
        world.Collect();
        Assert.Empty(world.Check().Findings);
        world.DeleteAll();
    }

    [Fact]
    public void A_deletion_that_the_catalogue_has_forgotten_goes_on_when_it_is_repaired()
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Scenarios.Family(rig);
        Alter(rig, $"v.{IdOf(rig, "lone"):x16}", 0, Sealed(bytes => bytes[12] = 1));
        var finding = Assert.Single(world.Check("lone").Findings);
        Assert.True(finding.Repairable);
        Assert.True(Assert.Single(world.Check("lone", repair: true).Findings).Repaired);
        rig.UntilIdle();
        world.State.Disks.Remove("lone");
        world.Verify();
        Assert.Equal(0, world.Check().Result.Unreferenced);
        Assert.Equal(0, world.Collect().Removed);
        world.DeleteAll();
    }

    [Fact]
    public void What_another_host_may_be_changing_is_not_told_as_a_problem_but_as_not_looked_at()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        ulong id = IdOf(rig, "lone");
        // As between the two writes of a rename by a host that has the lock.
        Set(rig, "n.new", NameRecord.ToSector(id, "new"));
        LockElsewhere(rig, id);
        var (findings, result) = world.Check(objects: false, repair: true);
        Assert.Empty(findings);
        Assert.Contains("n.new", Assert.Single(result.Skipped));
        Assert.Equal(0, result.Problems);
    }

    [Theory]
    [InlineData("d.")]
    [InlineData("m.")]
    public void What_goes_while_it_is_looked_at_is_no_finding(string kind)
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Scenarios.Family(rig);
        rig.UntilIdle();
        // It reads a map of a snapshot that is removed at that moment.
        string directory = rig.MapperdNode.Run(async () =>
        {
            var seen = await rig.Mapperd.Volumes.LookAsync("base");
            return kind == "d." ? $"d.{seen.Root!.Id:x16}.{seen.Find("s2")!.Generation:x16}" : $"m.{seen.Find("s2")!.Layer:x14}.0000000000";
        });
        bool isFirst = true;
        rig.OnStore(() => rig.Cut.Stop = request => request.Op == XsegOp.Read && request.Target.SequenceEqual(Encoding.ASCII.GetBytes(directory)) && isFirst && !(isFirst = false));
        var check = rig.MapperdNode.Begin(() => CheckAsync(rig));
        rig.Store.Until(() => rig.Cut.Stopped > 0 || check.IsCompleted, "the map is not read");
        Assert.False(check.IsCompleted);
        world.Run(Op.Delete("base@s2"));
        rig.UntilIdle();
        Assert.DoesNotContain(directory, rig.Objects());
        rig.OnStore(() =>
        {
            rig.Cut.Go();
            return true;
        });
        Assert.Empty(rig.MapperdNode.Run(() => check));
    }

    /// <summary>Everything that changes, at once, with kills; checks without a pause beside it.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_sound_store_under_a_random_load_gives_no_finding(int seed)
    {
        var random = new Random(seed);
        using var rig = new Rig(fanOut: 4, mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(5), Memory = 1 << 20 });
        rig.Change(rig.Memd.Options with { Jitter = TimeSpan.FromMicroseconds(200) });
        var world = new World(rig);
        world.Run(Op.Create("d0", 8 * O));
        int checks = 0;
        Task<List<CheckFinding>> check = rig.MapperdNode.Begin(() => CheckAsync(rig));
        for (int step = 0; step < 400 || checks < 8; step++)
        {
            Change(world, random, step);
            if (!check.IsCompleted) continue;
            var findings = rig.MapperdNode.Run(() => check);
            Assert.True(findings.Count == 0, $"seed {seed}, step {step}: {string.Join("\n", findings)}");
            checks++;
            // Killed in between it has written nothing.
            if (checks % 3 == 0)
            {
                _ = rig.MapperdNode.Begin(() => CheckAsync(rig));
                rig.Kill(mapperd: true, vlmcd: random.Next(2) == 0);
                Assert.Equal(0, rig.Do(XsegOp.Info, "").Status);
            }

            check = rig.MapperdNode.Begin(() => CheckAsync(rig));
        }

        Assert.Empty(rig.MapperdNode.Run(() => check));
        world.Verify();
        rig.UntilIdle();
        world.Collect();
        Assert.Equal(0, world.Check().Result.Unreferenced);
    }

    private static void Change(World world, Random random, int step)
    {
        var names = world.State.Disks.Keys.ToArray();
        string one = names.Length == 0 ? "none" : names[random.Next(names.Length)], snapshot = "s" + random.Next(3), fresh = "d" + random.Next(6);
        bool isOpen = world.Open.ContainsKey(one);
        switch (random.Next(12))
        {
            case 0:
                world.Run(Op.Create(fresh, 512 * random.Next(1, 8 * O / 512)));
                break;
            case 1:
                world.Run(Op.CloneOf(fresh, $"{one}@{snapshot}"));
                break;
            case 2 or 3:
                world.Run(Op.Snapshot(one, snapshot));
                break;
            case 4:
                world.Run(Op.Delete($"{one}@{snapshot}"));
                break;
            case 5:
                world.Run(Op.Resize(one, 512 * random.Next(1, 8 * O / 512)));
                break;
            case 6 when !isOpen:
                world.Run(Op.Rename(one, fresh));
                break;
            case 7 when !isOpen:
                world.Run(Op.Delete(one, force: true));
                break;
            case 8 when !isOpen:
                world.Run(Op.Rollback(one, snapshot));
                break;
            case 9 when isOpen:
                world.Close(one);
                break;
            default:
                if (one == "none") break;
                if (!isOpen) world.OpenForWriting(one);
                int size = world.State.Disks[one].Data.Length, offset = 512 * random.Next(size / 512), length = Math.Min(512 * random.Next(1, 80), size - offset);
                world.Run(random.Next(3) == 0 ? Op.Zero(one, offset, length, discard: true) : Op.Write(one, offset, Bytes.Of(step, length)));
                break;
        }
    }

    private static async Task<List<CheckFinding>> CheckAsync(Rig rig)
    {
        var findings = new List<CheckFinding>();
        await rig.Mapperd.Volumes.CheckAsync(new CheckRequest(Objects: true), item =>
        {
            if (item.Finding is { } finding) findings.Add(finding);
            return default;
        }, CancellationToken.None);
        return findings;
    }
}
