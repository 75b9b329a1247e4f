using System.Globalization;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

/// <summary>
/// Random operations on volumes, snapshots and clones against a model in memory that is compared as a whole; with orderly restarts and kills in between. The short form
/// is part of every run; STORM_SEEDS=N runs N seeds (from STORM_FIRST=S on), STORM_SEED=S one.
/// </summary>
public class ModelTests
{
    private const int O = Rig.ObjectSize, MaxDisks = 6, MaxSnapshots = 4, MaxSize = 8 * O;

    public static TheoryData<int> Seeds
    {
        get
        {
            var seeds = new TheoryData<int>();
            if (Number("STORM_SEED") is { } one) seeds.Add(one);
            // Twelve: each third has little memory, each fourth a store that takes its time, and so all combinations of these come once.
            else for (int first = Number("STORM_FIRST") ?? 1, seed = first; seed < first + (Number("STORM_SEEDS") ?? 12); seed++) seeds.Add(seed);
            return seeds;
        }
    }

    private static int? Number(string variable) => int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : null;

    [Theory]
    [MemberData(nameof(Seeds))]
    public void The_store_holds_what_the_model_says(int seed)
    {
        var random = new Random(seed);
        using var rig = new Rig(fanOut: 1 + seed % 8, mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(5), FanOut = 1 + seed % 5, Memory = seed % 3 == 0 ? 1 << 20 : 64 << 20 });
        if (seed % 4 == 0) rig.Change(rig.Memd.Options with { Jitter = TimeSpan.FromMicroseconds(100) });
        var world = new World(rig);
        var log = new List<string>();
        try
        {
            for (int step = 0; step < 250; step++)
            {
                if (Next(world, random, step, log) is { } op)
                {
                    log.Add(op.ToString());
                    if (random.Next(20) == 0) world.RunThrough(op, () => Restart(world, random, log));
                    else world.Run(op);
                }

                if (random.Next(25) == 0) world.Verify();
            }

            world.Verify();
            rig.UntilIdle();
            var left = world.Collect(dryRun: false);
            world.Verify();
            log.Add($"collected {left}");
            if (!log.Contains("kill")) Assert.True(left.Removed == 0, $"{left.Removed} of {left.Objects} objects were left over");
            world.DeleteAll(collects: log.Contains("kill"));
        }
        catch (Exception failed) when (failed is not InvalidOperationException)
        {
            Assert.Fail($"seed {seed}: {failed.Message}\n after {string.Join("\n ", log.TakeLast(25))}");
        }
    }

    private static Op? Next(World world, Random random, int step, List<string> log)
    {
        var state = world.State;
        string any = Pick(random, state.Disks.Keys.Append("none")), open = Pick(random, world.Open.Keys.Append("none"));
        int roll = random.Next(100);
        // Ops on what is open, and that need it to be closed.
        if (roll < 45 && open != "none") return DataOp(world, random, open, step);
        switch (roll)
        {
            case < 50 when state.Disks.Count < MaxDisks:
                return Op.Create(Name(random), Size(random));
            case < 56 when state.Disks.Count < MaxDisks:
                return Op.CloneOf(Name(random), $"{any}@{Snapshot(random)}", random.Next(2) == 0 ? 0 : Size(random));
            case < 64 when any != "none" && state.Disks[any].Snapshots.Count < MaxSnapshots:
                return Op.Snapshot(any, Snapshot(random));
            case < 70:
                return world.Open.ContainsKey(any) ? null : Op.Rollback(any, Snapshot(random));
            case < 76:
                return any == "none" ? null : Op.Resize(any, Size(random));
            case < 81:
                return Op.Delete($"{any}@{Snapshot(random)}");
            case < 84:
                return world.Open.ContainsKey(any) ? null : Op.Delete(any, force: random.Next(2) == 0);
            case < 87:
                return world.Open.ContainsKey(any) ? null : Op.Rename(any, Name(random));
            case < 89:
                // What a shrink or a rollback has left counts as a snapshot until it is removed.
                world.Rig.UntilIdle();
                return Op.Flatten(any);
            case < 95:
                if (any == "none") return null;
                log.Add($"{(world.Open.ContainsKey(any) ? "close" : "open")} {any}");
                if (world.Open.ContainsKey(any)) world.Close(any);
                else world.OpenForWriting(any);
                return null;
            case < 98:
                if (world.Open.Count > 0) log.Add("flush");
                world.Flush();
                return null;
            default:
                Restart(world, random, log);
                return null;
        }
    }

    private static void Restart(World world, Random random, List<string> log)
    {
        int kind = random.Next(5);
        log.Add(kind < 3 ? "kill" : "restart");
        log.Add($"kind {kind}");
        switch (kind)
        {
            case 0:
                world.Rig.KillMapperd();
                break;
            case 1:
                world.Rig.KillVlmcd();
                break;
            case 2:
                world.Rig.Kill(mapperd: true, vlmcd: true);
                break;
            case 3:
                world.Rig.RestartMapperd();
                break;
            default:
                world.Rig.RestartVlmcd();
                break;
        }
    }

    private static Op DataOp(World world, Random random, string name, int step)
    {
        int size = world.State.Disks[name].Data.Length, offset = 512 * random.Next(size / 512);
        int length = Math.Min(512 * random.Next(1, random.Next(3) == 0 ? 200 : 40), size - offset);
        // Whole objects are another way.
        if (random.Next(3) == 0 && size >= 2 * O) (offset, length) = (O * random.Next(size / O - 1), O);
        return random.Next(4) switch
        {
            0 => Op.Zero(name, offset, length, discard: true),
            1 => Op.Zero(name, offset, length, discard: false),
            _ => Op.Write(name, offset, Bytes.Of(step, length), random.Next(4) == 0 ? RequestFlags.ForceUnitAccess : RequestFlags.None),
        };
    }

    private static string Pick(Random random, IEnumerable<string> from) => from.ElementAt(random.Next(from.Count()));

    private static string Name(Random random) => "disk" + random.Next(8);

    private static string Snapshot(Random random) => "s" + random.Next(4);

    private static int Size(Random random) => 512 * random.Next(1, MaxSize / 512 + 1);
}
