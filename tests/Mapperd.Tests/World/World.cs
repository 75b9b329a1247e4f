using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Volumes;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

/// <summary>A rig and what it should hold.</summary>
internal sealed class World(Rig rig)
{
    internal Rig Rig => rig;
    internal State State { get; set; } = new();
    /// <summary>Volumes that the client has open for writing, and their flows.</summary>
    internal Dictionary<string, uint> Open { get; } = new(StringComparer.Ordinal);

    internal void Run(Op op)
    {
        int expected = State.Apply(op);
        int status = Send(op).Status;
        Assert.True(expected == status, $"{op}: status {status}, expected {expected}: {Refusals()}");
    }

    /// <summary>As <see cref="Run"/>, with something that happens to the peers while the request is under way.</summary>
    internal void RunThrough(Op op, Action happens)
    {
        var before = State.Copy();
        int expected = State.Apply(op);
        var answer = rig.ClientNode.Begin(() => SendAsync(op));
        happens();
        Assert.True(answer.Wait(TimeSpan.FromSeconds(60)), $"{op}: the request is lost");
        if (op.Code == XsegOp.Flatten && answer.Result.Status == Archipelago.Runtime.Errno.ESHUTDOWN)
        {
            // It ends with its peer, and is to be done again.
            State = before;
            return;
        }

        // Of a deletion that is replayed nobody knows whether it was refused, or done.
        bool isDone = answer.Result.Status == expected || (op.Code == XsegOp.Delete && expected == Archipelago.Runtime.Errno.ENOENT && answer.Result.Status == 0);
        Assert.True(isDone, $"{op}: status {answer.Result.Status}, expected {expected}: {Refusals()}");
    }

    /// <summary>What mapperd last said.</summary>
    internal string Refusals() => rig.MapperdNode.Run(() => Task.FromResult(rig.Mapperd.LastRefusal));

    internal Answer Send(Op op) => rig.ClientNode.Run(() => SendAsync(op));

    internal Task<Answer> SendAsync(Op op) => op.Code == XsegOp.Create ? rig.Client.Do("volumes", op.Code, op.Name, 0, op.Offset, op.Length, op.Flags, data: op.Data)
        : op.Data != null
        ? rig.Client.Write("volumes", op.Name, Open.GetValueOrDefault(op.Name), op.Offset, op.Data, op.Flags)
        : rig.Client.Do("volumes", op.Code, op.Name, op.IsData ? Open.GetValueOrDefault(op.Name) : 0, op.Offset, op.Length, op.Flags, op.Source);

    internal void OpenForWriting(string name) => Open[name] = rig.Open(name);

    internal void Close(string name)
    {
        Assert.Equal(0, rig.Do(XsegOp.Close, name).Status);
        Open.Remove(name);
    }

    /// <summary>Everything that was answered is stable.</summary>
    internal void Flush()
    {
        foreach (var (name, flow) in Open) Assert.Equal(0, rig.Do(XsegOp.Flush, name, flow).Status);
    }

    /// <summary>Null if the store holds what <paramref name="state"/> says, else the first difference.</summary>
    internal string? Difference(State state)
    {
        string names = string.Concat(state.Disks.Keys.Select(name => name + "\n")), list = rig.List();
        if (names != list) return $"listed {list.Replace('\n', ' ')}, expected {names.Replace('\n', ' ')}";
        foreach (var (name, disk) in state.Disks)
        {
            var known = Snapshots(name);
            if (!known.SequenceEqual(disk.Snapshots.Keys)) return $"{name} has snapshots {string.Join(' ', known)}, expected {string.Join(' ', disk.Snapshots.Keys)}";
            if (Compare(name, disk.Data, Open.GetValueOrDefault(name)) is { } head) return head;
            foreach (var (snapshot, data) in disk.Snapshots)
                if (Compare($"{name}@{snapshot}", data, 0) is { } kept) return kept;
        }

        return null;
    }

    internal void Verify()
    {
        string? difference = Difference(State);
        Assert.True(difference == null, difference);
    }

    internal Collection Collect(bool dryRun = false) => rig.MapperdNode.Run(() => rig.Mapperd.Volumes.CollectAsync(dryRun));

    /// <summary>What a check finds, and its result.</summary>
    internal (List<CheckFinding> Findings, CheckResult Result) Check(string? volume = null, bool objects = true, bool repair = false, bool giveUp = false) => rig.MapperdNode.Run(async () =>
    {
        var findings = new List<CheckFinding>();
        CheckResult? result = null;
        await rig.Mapperd.Volumes.CheckAsync(new CheckRequest(volume, objects, repair, giveUp), item =>
        {
            if (item.Finding is { } finding) findings.Add(finding);
            result = item.Result ?? result;
            return default;
        }, CancellationToken.None);
        return (findings, result!);
    });

    /// <summary>Deletes all volumes, those that are cloned from others first; then nothing is left.</summary>
    internal void DeleteAll(bool collects = false)
    {
        foreach (string name in Open.Keys.ToArray()) Close(name);
        while (State.Disks.Count > 0)
        {
            string leaf = State.Disks.First(disk => !disk.Value.Snapshots.Keys.Any(snapshot => State.HasClones(disk.Value, snapshot))).Key;
            Run(Op.Delete(leaf, force: true));
        }

        rig.UntilIdle();
        if (collects) Collect();
        Assert.DoesNotContain(rig.Objects(), name => name[0] != 'x');
    }

    private string[] Snapshots(string name) => rig.MapperdNode.Run(async () =>
        (await rig.Mapperd.Volumes.LookAsync(name)).Snapshots.Where(one => one.State == SnapshotState.Live).Select(one => one.Name).Order(StringComparer.Ordinal).ToArray());

    private string? Compare(string name, byte[] expected, uint flow)
    {
        bool opens = flow == 0;
        if (opens)
        {
            var opened = rig.Do(XsegOp.Open, name, flags: RequestFlags.ReadOnly);
            if (opened.Status != 0) return $"{name} cannot be opened: {opened.Status}";
            flow = opened.Flow;
        }

        ulong size = rig.Do(XsegOp.Info, name).Serviced;
        var read = size == (ulong)expected.Length ? rig.Read(name, flow, 0, size) : null;
        if (opens) Assert.Equal(0, rig.Do(XsegOp.Close, name, flags: RequestFlags.ReadOnly).Status);
        if (read == null) return $"{name} has {size} bytes, expected {expected.Length}";
        if (read.Status != 0) return $"{name} cannot be read: {read.Status}";
        int at = expected.AsSpan().CommonPrefixLength(read.Data);
        return at == expected.Length ? null : $"{name} differs from byte {at} (object {at / Rig.ObjectSize}) on: {read.Data[at]:x2} instead of {expected[at]:x2}";
    }
}
