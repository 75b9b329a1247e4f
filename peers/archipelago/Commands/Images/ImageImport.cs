using Archipelago.Cached;
using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Commands.Volumes;
using Archipelago.Cli.Daemon;
using Archipelago.Mapperd.Control;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Vlmcd.Control;

namespace Archipelago.Cli.Commands.Images;

/// <summary>`volume import`.</summary>
internal static class ImageImport
{
    private static readonly TimeSpan FlushLimit = TimeSpan.FromMinutes(10);

    internal static async Task<int> RunAsync(Invocation invocation, CancellationToken cancel)
    {
        string file = Path.GetFullPath(invocation.Argument("FILE")), name = VolumeArguments.NewNameOf(invocation);
        bool resumes = invocation.Has("--resume"), verifies = invocation.Has("--verify");
        long step = ImageCommands.StepOf(invocation);
        using var transfer = new Transfer(cancel);
        var image = await QemuImg.InspectAsync(file, invocation.Get("--format"), transfer.Token);
        if (image.Backing is { } backing && !invocation.Has("--backing"))
            throw new ErrnoException(Errno.EPERM, $"{file}: the image refers to another file, {backing}, which would be read, too; say --backing if that is meant, or --format raw if this is a raw image");
        // qemu takes what a part of such an image has in its backing file for zeros (7.2): all of it at once.
        if (image.Backing != null) step = image.Size;
        if (image.Size == 0) throw new ErrnoException(Errno.EINVAL, $"{file}: the image is empty, and a volume has at least 512 bytes");
        if (image.Format == "raw" && new FileInfo(file).Length is var bytes && bytes < image.Size)
            Invocation.Note($"archipelago: {file} has {bytes} bytes, and volumes are made of blocks of 512: {name} has {image.Size}, of which the last {image.Size - bytes} are zeros");
        string Node(long offset, long length) => image.Backing == null ? QemuImg.NodeOf(file, image.Format, offset, length) : QemuImg.WholeNode(file, image.Format);
        var export = await NbdExport.FindAsync(invocation, name);
        string notes = Common.StateOf(invocation).File($"import.{name}");
        var facts = new FileInfo(file);
        var old = resumes ? TransferState.Load(notes) : null;
        var state = old is null ? await CreateAsync(invocation, name, file, image, facts, resumes, transfer) : await CheckAsync(invocation, old, file, image, facts, transfer.Token);
        state.Save(notes);
        try
        {
            state = await transfer.CopyAsync(
                state, notes, step, old is null, Node, export.Node, () => FlushAsync(invocation, name, transfer.Token));
            if (verifies) await transfer.CompareAsync(state.Size, step, Node, export.Node);
        }
        catch (Exception e) when (e is ErrnoException or OperationCanceledException)
        {
            state = TransferState.Load(notes) ?? state;
            throw new ErrnoException(
                (e as ErrnoException)?.Errno ?? Errno.ECANCELED,
                $"{(e is ErrnoException ? e.Message : "interrupted")}. Volume {name} exists, with {Invocation.Size(state.Done)} of {Invocation.Size(state.Size)} imported. "
                    + $"Go on with `{ImageCommands.Resuming(invocation, invocation.Argument("FILE"), name)}`, or take it back with `archipelago volume delete {name}{ImageCommands.Where(invocation)}`", e);
        }

        File.Delete(notes);
        if (verifies && !invocation.Json) Invocation.Note($"archipelago: compared: volume {name} holds what {file} does");
        if (!invocation.Json) return await VolumeInfoView.ShowAsync(invocation, new Archipelago.Maps.VolumeName(name, null), cancel);
        Invocation.WriteJson(new TransferReport(name, file, image.Format, state.Size, verifies), DaemonJson.Default.TransferReport);
        return ExitCode.Ok;
    }

    private static async Task<TransferState> CreateAsync(
        Invocation invocation, string name, string file, QemuImg.Info image, FileInfo facts, bool resumes, Transfer transfer)
    {
        transfer.Token.ThrowIfCancellationRequested();
        // Not by the token: a volume of which nobody has noted that it is being imported could not be gone on with.
        try
        {
            await VolumeHosts.AskChangerAsync(
                invocation, c => c.PostAsync("/v1/volumes", new VolumeCreate(name, (ulong)image.Size), VlmcdJson.Default.VolumeCreate, VlmcdJson.Default.VolumeState, CancellationToken.None));
        }
        catch (ErrnoException e) when (e.Errno == Errno.EEXIST)
        {
            throw new ErrnoException(e.Errno, resumes ? $"volume {name} exists already, and no import of it was interrupted in this state directory: there is nothing to go on with; delete it and begin anew, or choose another name" : $"{e.Message}; if an import of it was interrupted, --resume goes on", e);
        }

        var made = await VolumeHosts.DescribeAsync(invocation, name, CancellationToken.None);
        return new TransferState(name, made.Id, file, image.Format, image.Size, facts.Length, facts.LastWriteTimeUtc, 0);
    }

    /// <summary>Refuses to go on with something else.</summary>
    private static async Task<TransferState> CheckAsync(Invocation invocation, TransferState old, string file, QemuImg.Info image, FileInfo facts, CancellationToken cancel)
    {
        if (old.File != file) throw new ErrnoException(Errno.EINVAL, $"volume {old.Volume} was being imported from {old.File}, not from {file}; name that file, or delete the volume and begin anew");
        if (old.Size != image.Size || old.Format != image.Format || old.FileBytes != facts.Length || old.FileWritten != facts.LastWriteTimeUtc)
            throw new ErrnoException(Errno.ESTALE, $"{file} has changed since its import was interrupted; `archipelago volume delete {old.Volume}` and begin anew");
        VolumeInfo found;
        try
        {
            found = await VolumeHosts.DescribeAsync(invocation, old.Volume, cancel);
        }
        catch (ErrnoException e) when (e.Errno == Errno.ENOENT)
        {
            throw new ErrnoException(e.Errno, $"volume {old.Volume}, whose import was interrupted, is gone: there is nothing to go on with; import it without --resume", e);
        }

        if (found.Id != old.VolumeId || found.Size != (ulong)old.Size)
            throw new ErrnoException(Errno.ESTALE, $"volume {old.Volume} is not the one whose import was interrupted, or has another size now; delete {Common.StateOf(invocation).File($"import.{old.Volume}")} if that is forgotten");
        return old;
    }

    /// <summary>What qemu-img's last flush brought to the store; asked for once more where the cache tells errors. A chain without one has none to tell.</summary>
    private static async Task FlushAsync(Invocation invocation, string name, CancellationToken cancel)
    {
        try
        {
            await Common.AskHostAsync(
                invocation, "cached", c => c.PostAsync("/v1/cache/flush", new CacheFlush(name), CacheJson.Default.CacheFlush, CacheJson.Default.CacheStatistics, cancel), FlushLimit);
        }
        catch (ErrnoException none) when (none.Errno == Errno.ENOENT)
        {
            // No cache, or nothing of the volume in it.
        }
    }
}
