using Archipelago.Filed.Native;
using Archipelago.Filed.Scheduling;
using Archipelago.Filed.Storage;
using Archipelago.Filed.Work;
using Archipelago.Locks;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Filed;

/// <summary>
/// The blocker that keeps one file per object below a directory. All state belongs to the reactor; what blocks is done by a few
/// threads of its own, straight between files and the segment's pages.
/// </summary>
public sealed partial class FiledPeer(FiledOptions options) : Peer, IDisposable
{
    private readonly ObjectCache _objects = new();
    private readonly Stack<FileJob> _idleJobs = new();
    private DirectoryLock? _lock;
    private ObjectTree _tree = null!;
    private IoPool? _pool;
    private FileWorker _atOnce = null!;
    private int _root = -1;
    private int _active;
    private bool _draining;

    /// <summary>Objects that are open, in use or not yet stable. On the reactor.</summary>
    public int KnownObjects => _objects.Count;

    /// <summary>
    /// Takes the directory: EBUSY if another filed serves it; EINVAL if it cannot do direct I/O that is asked for.
    /// </summary>
    public override ValueTask StartAsync()
    {
        try
        {
            _address = FiledAddress.Next();
            OpenDirectory();
            FiledFence.Enter(_address);
            _changing = new int[Context.Segment.FlowCount];
            _locks = new LockService(Context, new RecordsInFiles(this));
            _inherited = new InheritedWrites(SyncAll);
            _pool = new IoPool(Context.Reactor, Context.Port.Name, options.Threads, () => new FileWorker(Context.Segment, _tree, Context.Reactor.Clock, options.Direct, options.Shared).Run);
            _atOnce = new FileWorker(Context.Segment, _tree, Context.Reactor.Clock, direct: false, options.Shared);
        }
        catch
        {
            Close();
            throw;
        }

        return ValueTask.CompletedTask;
    }

    /// <summary>Makes everything stable; then, with the last request under way, gives the directory back.</summary>
    /// <exception cref="ErrnoException">Something could not be made stable: nothing was given up, filed goes on.</exception>
    public override async ValueTask StopAsync()
    {
        int status = await FlushAsync(0);
        if (status != 0)
            throw new ErrnoException(status, $"{options.Directory}: not everything could be made stable: {Errno.Describe(status)}; see the log, repair the storage, then stop again");
        _draining = true;
        _locks.Stop();
        if (_active == 0) Close();
    }

    /// <inheritdoc/>
    public override ValueTask<int> HandleAsync(Request request)
    {
        switch (request.Op)
        {
            case XsegOp.Invalidate:
                ForgetClosable();
                return new ValueTask<int>(0);
            case XsegOp.Ping:
                return new ValueTask<int>(0);
            case XsegOp.Flush:
                return FlushAsync(request.Flow);
            case XsegOp.Read:
                return (request.Flags & RequestFlags.List) == 0 ? Read(request) : ListAsync(request);
            case XsegOp.Write when (request.Flags & RequestFlags.Compare) != 0:
                return Swap(request);
            case XsegOp.Write or XsegOp.Discard or XsegOp.WriteZeroes:
                return Fits(request.Offset, request.Length) ? Run(request, HoldKind.Write, request.Offset, request.Length) : new ValueTask<int>(XsegErrno.EFBIG);
            case XsegOp.Truncate:
                return Fits(0, request.Length) ? Run(request, HoldKind.Write, 0, FileWorker.MaxObject) : new ValueTask<int>(XsegErrno.EFBIG);
            case XsegOp.Info or XsegOp.Hash:
                return Run(request, HoldKind.Read, 0, FileWorker.MaxObject);
            case XsegOp.Delete:
                return Run(request, HoldKind.Alone, 0, 0);
            case XsegOp.Copy:
                if (!Fits(0, request.Length)) return new ValueTask<int>(XsegErrno.EFBIG);
                return request.Offset == 0 && !request.Source.IsEmpty ? Run(request, HoldKind.Alone, 0, 0) : new ValueTask<int>(XsegErrno.EINVAL);
            case XsegOp.Acquire:
                return _locks.AcquireAsync(request);
            case XsegOp.Release:
                return _locks.ReleaseAsync(request);
            default:
                return new ValueTask<int>(XsegErrno.ENOTSUP);
        }
    }

    /// <summary>
    /// Gives up threads, files and directory without making anything stable, as the kernel does for a process that dies. For
    /// tests, and after the peer's reactor has ended; does nothing after an orderly stop.
    /// </summary>
    public void Dispose() => Close();

    private void OpenDirectory()
    {
        try
        {
            Directory.CreateDirectory(options.Directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
        catch (Exception e) when (FileFault.Is(e))
        {
            throw FileFault.Tell(e, $"{options.Directory}: cannot be made");
        }

        _root = Sys.Open(Libc.AT_FDCWD, options.Directory, Libc.O_RDONLY | Libc.O_DIRECTORY);
        if (_root < 0) throw new ErrnoException(-_root, $"{options.Directory}: cannot be opened: {Errno.Describe(-_root)}");
        _lock = DirectoryLock.Take(_root, options.Directory, options.Shared);
        _tree = new ObjectTree(_root, options.Shared ? Temporaries(_address) : "");
        foreach (string name in (string[])[ObjectTree.Objects, ObjectTree.Temporary])
        {
            int status = _tree.MakeParents(name + "/");
            if (status < 0) throw new ErrnoException(-status, $"{options.Directory}/{name}: cannot be made or opened: {Sys.Describe(-status)}");
        }

        int synced = Sys.Sync(_root);
        if (synced < 0) throw new ErrnoException(-synced, $"{options.Directory}: cannot be made stable: {Errno.Describe(-synced)}");
        int swaps = Sys.Open(_root, SwapLock.FileName, Libc.O_RDWR | Libc.O_CREAT);
        if (swaps < 0) throw new ErrnoException(-swaps, $"{options.Directory}/{SwapLock.FileName}: cannot be made or opened: {Sys.Describe(-swaps)}");
        _ = Libc.close(swaps);
        // What copies left that were not finished.
        foreach (string left in Directory.EnumerateFiles(Path.Combine(options.Directory, ObjectTree.Temporary)))
            if (!options.Shared || IsLeft(Path.GetFileName(left))) File.Delete(left);
        if (options.Direct) CheckDirect();
    }

    private static string Temporaries(FiledAddress of) => of.ToString().Replace('/', '_') + ".";

    /// <summary>Whether a temporary file is one of a filed that is known to be gone: others may be at work.</summary>
    private bool IsLeft(string temporary) =>
        FiledAddress.Parse(temporary[..Math.Max(0, temporary.LastIndexOf('.'))].Replace('_', '/')) is { } of && FiledFence.IsDead(of, _address);

    private void CheckDirect()
    {
        string path = _tree.TemporaryPath();
        int fd = _tree.Open(path, Libc.O_CREAT | Libc.O_DIRECT);
        // Without the flag too: a file system that refuses direct I/O may have made the file all the same.
        _ = Sys.Unlink(_root, path);
        if (fd < 0) throw new ErrnoException(Errno.EINVAL, $"{options.Directory}: the file system cannot do direct I/O ({Errno.Describe(-fd)}); set direct = false");
        _ = Libc.close(fd);
    }

    private void Close()
    {
        _pool?.Dispose();
        _pool = null;
        _objects.CloseAll();
        if (_root >= 0) _ = Libc.close(_root);
        _root = -1;
        if (_address != null) FiledFence.Leave(_address);
        // Last: from here on another filed may serve the directory.
        _lock?.Dispose();
        _lock = null;
    }

    private static bool Fits(ulong offset, ulong length) => length <= FileWorker.MaxObject && offset <= FileWorker.MaxObject - length;
}
