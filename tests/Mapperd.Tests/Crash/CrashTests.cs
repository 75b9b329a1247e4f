using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

/// <summary>
/// Every operation, cut off after the k-th change of the store for every k, in every way; then successors. What is found is the old or the new state, everything
/// else is unharmed, the collector removes what is left, and when all is deleted nothing is left.
/// </summary>
public class CrashTests
{
    public enum Cut
    {
        /// <summary>The store fails; mapperd is killed then.</summary>
        Fails,
        /// <summary>The store fails, and is mended; nobody is killed.</summary>
        FailsAndIsMended,
        /// <summary>The store hangs; mapperd is killed, its successor replays the request.</summary>
        KillsMapperd,
        /// <summary>The store hangs; vlmcd is killed.</summary>
        KillsVlmcd,
        /// <summary>All are killed, and the store loses what was not flushed.</summary>
        LosesPower,
    }

    public static TheoryData<string, Cut> Cases => CasesOf(Cut.Fails, Cut.FailsAndIsMended, Cut.LosesPower);

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_change_that_is_cut_off_is_done_or_not_done(string scenario, Cut cut) => CutEverywhere(scenario, cut);

    internal static TheoryData<string, Cut> CasesOf(params Cut[] cuts)
    {
        var cases = new TheoryData<string, Cut>();
        foreach (string name in Scenarios.All.Keys)
            foreach (var cut in cuts) cases.Add(name, cut);
        return cases;
    }

    internal static void CutEverywhere(string scenario, Cut cut)
    {
        var (op, opened) = Scenarios.All[scenario];
        bool all = false;
        for (int k = 0; !all; k++)
        {
            Assert.True(k < 200, "it never ends");
            using var rig = new Rig(isVolatile: true, mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
            var world = Scenarios.Family(rig);
            foreach (string name in opened) world.OpenForWriting(name);
            rig.UntilIdle();
            rig.OnStore(() => rig.Cut.Trace = []);
            int status = Run(world, k, cut, op, out all);
            string at = $"{scenario}, {cut}, k = {k}, after {string.Join(", ", rig.OnStore(() => rig.Cut.Trace!.TakeLast(3).ToArray()))}";
            rig.OnStore(() => rig.Cut.Trace = null);
            Check(world, op, cut, status, all, at);
        }
    }

    private static void Check(World world, Op op, Cut cut, int status, bool isWhole, string at)
    {
        var rig = world.Rig;
        var before = world.State;
        var after = before.Copy();
        Assert.Equal(0, after.Apply(op));
        // What vlmcd had sent itself has failed with the store: then nobody has replayed it.
        if (cut is not (Cut.Fails or Cut.FailsAndIsMended) && !(cut == Cut.KillsMapperd && rig.Cut.HeldIssuers.Contains(rig.Vlmcd.Context.Port.Number))) Assert.True(status == 0, $"{at}: status {status}, although it was replayed");
        rig.UntilIdle();
        string? isNotNew = Outcome(world, op, after), isNotOld = status == 0 && !op.IsData ? "answered" : Outcome(world, op, before);
        // It changes no content: what was refused is not done.
        if (op.Code == XsegOp.Flatten && status != 0) isNotNew = "refused";
        // Of data that was not flushed any part may be lost with the power.
        if (op.IsData && isNotNew != null && isNotOld != null) isNotNew = Mixed(world, op, before, after);
        Assert.True(isNotNew == null || isNotOld == null, $"{at}: status {status}, neither done ({isNotNew}) nor not done ({isNotOld})");
        world.State = isNotNew == null ? after : before;
        world.Collect();
        if (op.IsData) world.State = ReadBack(world, op);
        string? harm = world.Difference(world.State);
        Assert.True(harm == null, $"{at}: the collector has done harm: {harm}");
        var left = world.Collect(dryRun: true);
        Assert.True(left.Unreferenced == 0, $"{at}: {left.Unreferenced} objects are left over");
        var (findings, _) = world.Check(objects: false);
        Assert.True(findings.Count == 0, $"{at}: {string.Join("; ", findings)}");
        // It can be done, or done again.
        if (isNotNew != null) world.Run(op);
        world.Verify();
        try
        {
            world.DeleteAll(collects: !isWhole);
        }
        catch (Exception failed)
        {
            Assert.Fail($"{at}: {failed.Message}");
        }
    }

    private static string? Outcome(World world, Op op, State state) => world.Difference(state);

    /// <summary>Each block of what was written is old or new, and nothing else has changed.</summary>
    private static string? Mixed(World world, Op op, State before, State after) => world.Difference(ReadBack(world, op, before, after));

    private static State ReadBack(World world, Op op, State? before = null, State? after = null)
    {
        var state = world.State.Copy();
        byte[] now = world.Rig.Read(op.Name, world.Open[op.Name], 0, (ulong)state.Disks[op.Name].Data.Length).Data;
        if (before != null)
            for (int at = 0; at < now.Length; at += 512)
            {
                var block = now.AsSpan(at, 512);
                Assert.True(
                    block.SequenceEqual(before.Disks[op.Name].Data.AsSpan(at, 512)) || block.SequenceEqual(after!.Disks[op.Name].Data.AsSpan(at, 512)),
                    $"{op}: the block at {at} is neither old nor new");
            }

        state.Disks[op.Name] = state.Disks[op.Name] with { Data = now };
        return state;
    }

    /// <summary>Runs an op with the store cut off after k changes, and what comes then; the op's status in the end.</summary>
    private static int Run(World world, int k, Cut cut, Op op, out bool all)
    {
        var rig = world.Rig;
        bool holds = cut is not (Cut.Fails or Cut.FailsAndIsMended);
        rig.OnStore(() =>
        {
            rig.Cut.CutAfter(k, holds);
            return true;
        });
        var answer = rig.ClientNode.Begin(() => world.SendAsync(op));
        if (holds) rig.Store.Until(() => rig.Cut.Held > 0 || (answer.IsCompleted && rig.Mapperd.Volumes.Purges == 0), "neither cut off nor done");
        else Assert.True(answer.Wait(TimeSpan.FromSeconds(30)), $"k = {k}: no answer");
        if (!holds) rig.Store.Until(() => rig.Cut.IsCut || rig.Mapperd.Volumes.Purges == 0, "background work neither ends nor fails");
        all = rig.OnStore(() => !rig.Cut.IsCut);
        if (cut == Cut.FailsAndIsMended) rig.Mend();
        else rig.Kill(mapperd: cut != Cut.KillsVlmcd, vlmcd: cut is Cut.KillsVlmcd or Cut.LosesPower, powerFailure: cut == Cut.LosesPower);
        Assert.True(answer.Wait(TimeSpan.FromSeconds(30)), $"k = {k}: the request is lost");
        return answer.Result.Status;
    }
}
