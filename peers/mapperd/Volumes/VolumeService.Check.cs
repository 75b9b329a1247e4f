using Archipelago.Mapperd.Checking;
using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Inspection;
using Archipelago.Mapperd.Purging;
using Archipelago.Maps;
using Archipelago.Runtime;

namespace Archipelago.Mapperd.Volumes;

/// <summary>
/// The check of all that is in the store. It writes nothing, takes no lock, and runs beside everything else, so what it finds at the first look may be a change that goes on. What is told
/// was found a second time, the same in all that led there: names of directories, layers and numbers of snapshots are never used again, so it was so all the time in between. Two
/// objects that one change writes one after the other are compared a second time under the volume's gate, and told only if no other host had the lock.
/// </summary>
internal sealed partial class VolumeService
{
    private static readonly TimeSpan SecondLook = TimeSpan.FromMilliseconds(100);

    /// <summary>One run of a check: what it is asked, and what it has found.</summary>
    private sealed class CheckRun(CheckRequest request, Func<CheckItem, ValueTask> tell)
    {
        internal CheckRequest Request => request;
        internal Func<CheckItem, ValueTask> Tell => tell;
        internal Inventory? Found { get; set; }
        /// <summary>The catalogue as it was at the beginning, for first looks: it may be large, and second looks read it anew.</summary>
        internal IReadOnlyList<Catalogue.Entry> Known { get; set; } = [];
        internal List<string> Skipped { get; } = [];
        /// <summary>Each layer is of one volume: the one in which it was met first.</summary>
        internal Dictionary<ulong, (ulong Id, string Name)> Layers { get; } = [];
        internal HashSet<string> Named { get; } = new(StringComparer.Ordinal);
        internal long Volumes, Entries, Problems, Repaired;
    }

    /// <summary>Checks one volume, or all and what is of none.</summary>
    /// <param name="request">What to check.</param>
    /// <param name="tell">Gets findings as they come, how far it is, and the result in the last item.</param>
    /// <param name="cancel">Ends it.</param>
    /// <exception cref="ErrnoException">ENOENT: there is no such volume. ECANCELED. The store's own.</exception>
    internal async Task CheckAsync(CheckRequest request, Func<CheckItem, ValueTask> tell, CancellationToken cancel)
    {
        var run = new CheckRun(request, tell);
        ulong[] ids;
        if (request is { GiveUp: true, Volume: null }) throw new ErrnoException(Errno.EINVAL, "which volume is to be given up? Give its name");
        if (request.Volume is { } name)
        {
            run.Known = await Catalogue.ReadAsync();
            ids = await FindAllAsync(VolumeName.Check(System.Text.Encoding.UTF8.GetBytes(name)), run.Known);
        }
        else
        {
            // Before the catalogue: what is made later is not in it.
            run.Found = await ListStoreAsync(run, cancel);
            run.Known = await Catalogue.ReadAsync();
            ids = [.. run.Known.Select(entry => entry.Record.Id).Union(run.Found.Roots)];
            await CheckCatalogueAsync(run);
        }

        var maps = new MapCheck(_meta, request.Objects ? Sizes(cancel) : null, run.Found, async count =>
        {
            ThrowIfEnded(cancel);
            run.Entries += count;
            await tell(new CheckItem("checking maps, objects", run.Entries));
        });
        foreach (ulong id in ids)
        {
            ThrowIfEnded(cancel);
            await CheckVolumeAsync(run, id, maps);
        }

        foreach (string one in run.Found?.Names.Where(one => !run.Named.Contains(one)).ToArray() ?? [])
        {
            ThrowIfEnded(cancel);
            await ConfirmAsync(run, async (found, again) =>
            {
                var entries = again ? await Catalogue.ReadAsync() : run.Known;
                if (await NameCheck.CheckAsync(_store, one, id => entries.Any(entry => entry.Record.Id == id)) is { } wrong) found.Add(wrong);
            }, one);
        }

        var left = request is { Objects: true, Volume: null } ? await CountLeftAsync(run) : null;
        await tell(new CheckItem("done", run.Entries, Result: new CheckResult(run.Volumes, run.Entries, run.Problems, run.Repaired, left, run.Skipped)));
    }

    /// <summary>The volumes of a name: by its record, and, for that may be what is wrong, by the catalogue.</summary>
    private async ValueTask<ulong[]> FindAllAsync(string name, IReadOnlyList<Catalogue.Entry> known)
    {
        var ids = known.Where(entry => entry.Record.Name == name).Select(entry => entry.Record.Id).ToHashSet();
        try
        {
            if (await _store.ResolveAsync(name) is var id and not 0) ids.Add(id);
        }
        catch (ErrnoException damaged) when (damaged.Errno is Errno.EIO or Errno.EPROTO && ids.Count > 0)
        {
            // That is what is found then.
        }

        return ids.Count > 0 ? [.. ids] : throw VolumeStore.NoVolume(name);
    }

    private ValueTask<Inventory> ListStoreAsync(CheckRun run, CancellationToken cancel) => Inventory.TakeAsync(_meta, count =>
    {
        _ = run.Tell(new CheckItem("listing", count)).AsTask();
        return !IsStopping && !cancel.IsCancellationRequested;
    });

    private ValueTask CheckCatalogueAsync(CheckRun run) => ConfirmAsync(run, async (found, _) =>
    {
        await Catalogue.ReadAsync();
        foreach (var (slot, what) in Catalogue.Faults)
            found.Add(new Finding("", Catalogue.PlaceOf(slot), what, "open the volume that `volume list` does not show, which lists it again, and restore that sector from a copy (until then no snapshot is deleted)"));
    });

    private async ValueTask CheckVolumeAsync(CheckRun run, ulong id, MapCheck maps)
    {
        VolumeRoot? root = null;
        await ConfirmAsync(run, async (found, again) =>
        {
            var entries = again ? await Catalogue.ReadAsync() : run.Known;
            root = await new HeaderCheck(_store, entries).CheckAsync(id, found);
            if (root != null) run.Named.Add(root.Name);
        }, id: id);
        if (root == null) return;
        run.Volumes++;
        await ConfirmAsync(run, (found, _) => CheckMapsAsync(run, id, maps, found));
    }

    /// <summary>The maps of all versions but those that are being removed, of which a part may be gone.</summary>
    private async ValueTask CheckMapsAsync(CheckRun run, ulong id, MapCheck maps, List<Finding> found)
    {
        var seen = new Volume($"{id:x16}", _context.Reactor);
        if (!await _store.TryLoadAsync(seen, id) || seen.Root is not { IsDeleted: false } root) return;
        HeaderCheck.CheckSnapshots(seen, found);
        foreach (ulong layer in seen.Snapshots.Select(snapshot => snapshot.Layer).Append(root.Layer))
        {
            if (run.Layers.TryAdd(layer, (id, root.Name)) || run.Layers[layer] is var (first, other) && first == id) continue;
            found.Add(new Finding(root.Name, $"v.{id:x16}", $"has the layer {layer:x14}, which volume {other}, {first:x16}, has too: one writes into what the other reads", "copy the content of both to new volumes (`volume export`), and delete these") { Id = id });
        }

        await maps.CheckAsync(root.Name, id, seen.Head.Directory, root.Size, root.ObjectSize, found);
        foreach (var snapshot in seen.Snapshots.Where(record => record.State == SnapshotState.Live).OrderByDescending(record => record.Number))
        {
            var its = new List<Finding>();
            var map = await _store.MapOfAsync(root, snapshot);
            await maps.CheckAsync($"{root.Name}@{snapshot.Name}", id, map.Directory, snapshot.Size, root.ObjectSize, its);
            // What it shares with a later version is told once.
            found.AddRange(its.Where(one => !found.Exists(told => told.Object == one.Object && told.What == one.What)));
        }
    }

    /// <summary>Looks, looks again, and tells what both have found.</summary>
    /// <param name="run">The run.</param>
    /// <param name="look">Looks, and adds what it finds; told whether it looks again.</param>
    /// <param name="gate">A name whose gate, beside those of the volumes that the first look names, keeps this mapperd's own changes away from the second.</param>
    /// <param name="id">The volume that it is about, 0 if its findings say that.</param>
    private async ValueTask ConfirmAsync(CheckRun run, Func<List<Finding>, bool, ValueTask> look, string gate = "", ulong id = 0)
    {
        var first = await LookAsync(found => look(found, false), id);
        if (first.Count == 0) return;
        ulong about = first.Select(finding => finding.Id).FirstOrDefault(one => one != 0, id);
        var before = first.Exists(IsByRest) ? await _locks.ReadAsync(about) : null;
        await _context.Reactor.Delay(SecondLook);
        var entered = new List<Volume>();
        List<Finding> told;
        LockInfo? after;
        try
        {
            // In the order that all keep.
            foreach (string name in first.Select(finding => finding.Volume).Append(gate).Where(name => before != null && name.Length > 0).Distinct().Order(StringComparer.Ordinal))
                entered.Add(await Table.EnterAsync(name));
            var second = await LookAsync(found => look(found, true), id);
            told = [.. first.Where(second.Contains)];
            after = before == null ? null : await _locks.ReadAsync(about);
        }
        finally
        {
            foreach (var volume in entered) Table.Leave(volume);
        }

        foreach (var finding in told)
        {
            if (!IsByRest(finding) || IsAtRest(before!, after!)) await TellAsync(run, finding);
            else run.Skipped.Add($"volume {finding.Volume}: {finding.Object} {finding.What}, which may be a change that goes on: its lock is {after!.State} ({after.Owner ?? after.Fault}); check there, or when it is closed");
        }
    }

    /// <summary>Two objects disagree that one change writes: it is a finding if nobody is at the volume.</summary>
    private static bool IsByRest(Finding finding) => finding.Repair is not (Repair.None or Repair.GiveUp);

    /// <summary>Between two looks no other host was at the volume.</summary>
    private static bool IsAtRest(LockInfo before, LockInfo after) =>
        (before.State == "free" || before.State == "busy") && before.State == after.State && before.Epoch == after.Epoch;

    private async ValueTask<List<Finding>> LookAsync(Func<List<Finding>, ValueTask> look, ulong id)
    {
        var found = new List<Finding>();
        try
        {
            await look(found);
        }
        catch (ErrnoException failed) when (failed.Errno is not (Errno.ECANCELED or Errno.ESHUTDOWN))
        {
            found.Add(new Finding("", id == 0 ? "" : $"v.{id:x16}", failed.Message, "see to the store, and check again"));
        }

        return found;
    }

    private async ValueTask TellAsync(CheckRun run, Finding finding)
    {
        string? fault = null;
        bool isRepaired = false;
        bool givesUp = finding.Repair == Repair.GiveUp;
        if (finding.Repair != Repair.None && (givesUp ? run.Request.GiveUp : run.Request.Repair))
        {
            try
            {
                isRepaired = givesUp ? await GiveUpAsync(run.Request.Volume!, finding.Id) : await RepairAsync(finding);
            }
            catch (ErrnoException failed)
            {
                fault = failed.Message;
            }
        }

        if (isRepaired) run.Repaired++;
        else run.Problems++;
        string advice = isRepaired ? givesUp ? "`archipelago volume gc` removes what only this volume referred to: it was given up" : "nothing: it was repaired" : fault != null ? $"it cannot be repaired now: {fault}" : finding.Advice;
        await run.Tell(new CheckItem("checking", run.Entries, new CheckFinding(
            finding.Volume, finding.Object, finding.What, advice, finding.Offset, finding.Length, IsByRest(finding), isRepaired)));
    }

    /// <summary>How many objects nothing refers to; null if nobody knows.</summary>
    private async ValueTask<long?> CountLeftAsync(CheckRun run)
    {
        try
        {
            var left = await CollectAsync(dryRun: true, (step, count) => _ = run.Tell(new CheckItem($"what nothing refers to: {step}", count)).AsTask());
            run.Skipped.AddRange(left.Skipped);
            return left.Unreferenced;
        }
        catch (ErrnoException unknown)
        {
            run.Skipped.Add($"objects that nothing refers to: {unknown.Message}");
            return null;
        }
    }

    private void ThrowIfEnded(CancellationToken cancel)
    {
        if (IsStopping || cancel.IsCancellationRequested) throw new ErrnoException(Errno.ECANCELED, "the check was ended before it was done; nothing was changed");
    }
}
