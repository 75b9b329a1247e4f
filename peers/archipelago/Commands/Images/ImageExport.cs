using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Commands.Volumes;
using Archipelago.Cli.Daemon;
using Archipelago.Mapperd.Control;
using Archipelago.Maps;
using Archipelago.Runtime;

namespace Archipelago.Cli.Commands.Images;

/// <summary>`volume export`.</summary>
internal static class ImageExport
{
    internal static async Task<int> RunAsync(Invocation invocation, CancellationToken cancel)
    {
        var name = VolumeArguments.EitherOf(invocation);
        string file = Path.GetFullPath(invocation.Argument("FILE")), notes = file + ".export";
        string format = invocation.Get("--format") ?? (file.EndsWith(".qcow2", StringComparison.OrdinalIgnoreCase) ? "qcow2" : "raw");
        if (Directory.Exists(file)) throw new ErrnoException(Errno.EISDIR, $"{file} is a directory: name the file to write");
        if (Path.GetDirectoryName(file) is { } directory && !Directory.Exists(directory)) throw new ErrnoException(Errno.ENOENT, $"{file} cannot be made: there is no directory {directory}; make it first");
        if (!ImageCommands.Formats.Contains(format)) throw new UsageException($"--format: expected {string.Join(" or ", ImageCommands.Formats)}, found {format}");
        bool resumes = invocation.Has("--resume"), verifies = invocation.Has("--verify");
        long step = ImageCommands.StepOf(invocation);
        using var transfer = new Transfer(cancel);
        var info = await VolumeHosts.DescribeAsync(invocation, name.ToString(), transfer.Token);
        long size = (long)(name.Snapshot == null ? info.Size : info.Snapshots!.First(s => s.Name == name.Snapshot).Size);
        var export = await NbdExport.FindAsync(invocation, name.ToString());
        var old = resumes ? TransferState.Load(notes) : null;
        if (old != null) Check(old, name, info, file, format, size);
        var state = old ?? await CreateAsync(name, info, file, format, size, transfer);
        state.Save(notes);
        if (old != null && name.Snapshot == null) Invocation.Note($"archipelago: {name} may have changed since; only a snapshot stays as it is");
        string Node(long offset, long length) => QemuImg.NodeOf(file, format, offset, length);
        try
        {
            state = await transfer.CopyAsync(state, notes, step, old is null, export.Node, Node, () => Task.CompletedTask);
            if (verifies) await transfer.CompareAsync(state.Size, step, export.Node, Node);
        }
        catch (Exception e) when (e is ErrnoException or OperationCanceledException)
        {
            state = TransferState.Load(notes) ?? state;
            throw new ErrnoException(
                (e as ErrnoException)?.Errno ?? Errno.ECANCELED,
                $"{(e is ErrnoException ? e.Message : "interrupted")}. {file} holds {Invocation.Size(state.Done)} of {Invocation.Size(state.Size)}. "
                    + $"Go on with `{ImageCommands.Resuming(invocation, name.ToString(), invocation.Argument("FILE"))}`, or delete {file} and {notes}{((e as ErrnoException)?.Errno == Errno.EIO ? $"; if a part of it cannot be read, `archipelago volume fsck {name.Volume}` shows what is damaged" : "")}", e);
        }

        File.Delete(notes);
        var report = new TransferReport(name.ToString(), file, format, size, verifies);
        if (invocation.Json) Invocation.WriteJson(report, DaemonJson.Default.TransferReport);
        else Invocation.Write($"{file}: {format}, {Invocation.Size(size)} of {name}{(verifies ? ", compared" : "")}");
        return ExitCode.Ok;
    }

    private static async Task<TransferState> CreateAsync(VolumeName name, VolumeInfo info, string file, string format, long size, Transfer transfer)
    {
        transfer.Token.ThrowIfCancellationRequested();
        if (File.Exists(file)) throw new ErrnoException(Errno.EEXIST, $"{file} exists already; delete it, or name another one{(File.Exists(file + ".export") ? "; --resume goes on with the export that was interrupted" : "")}");
        if (format == "raw")
        {
            using var made = new FileStream(file, FileMode.CreateNew, FileAccess.Write);
            made.SetLength(size);
        }
        else
        {
            // Not by the token: a file without notes beside it could not be gone on with.
            await QemuImg.RunAsync(["create", "-q", "-f", format, file, size.ToString(System.Globalization.CultureInfo.InvariantCulture)], CancellationToken.None);
        }

        return new TransferState(name.ToString(), info.Id, file, format, size, 0, default, 0);
    }

    private static void Check(TransferState old, VolumeName name, VolumeInfo info, string file, string format, long size)
    {
        if (!File.Exists(file)) throw new ErrnoException(Errno.ENOENT, $"{file} is gone: there is nothing to go on with; delete {file}.export and begin anew");
        if (old.Volume != name.ToString() || old.VolumeId != info.Id || old.Format != format || old.Size != size)
            throw new ErrnoException(Errno.ESTALE, $"{file} was being written from {old.Volume} of {Invocation.Size(old.Size)} as {old.Format}, which is not what was asked for now; delete {file} and {file}.export, and begin anew");
    }
}
