using Archipelago.Cli.Daemon;
using Archipelago.Runtime;
using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>Who runs in a state directory.</summary>
public sealed class StateDirectoryTests : IDisposable
{
    private readonly string _path = Directory.CreateTempSubdirectory("as-").FullName;

    public void Dispose() => Directory.Delete(_path, recursive: true);

    [Fact]
    public void Asking_who_holds_it_takes_and_makes_nothing()
    {
        using var asker = new StateDirectory(_path);
        Assert.Null(asker.Holder());
        Assert.Empty(Directory.EnumerateFileSystemEntries(_path));

        using var up = new StateDirectory(_path);
        up.Take(alone: true);
        Assert.Equal(Environment.ProcessId, asker.Holder());
    }

    [Fact]
    public void One_process_has_it_alone_or_several_share_it()
    {
        using (var up = new StateDirectory(_path))
        {
            up.Take(alone: true);
            Refuses(alone: true);
            Refuses(alone: false);
        }

        using var first = new StateDirectory(_path);
        using var second = new StateDirectory(_path);
        first.Take(alone: false);
        second.Take(alone: false);
        Refuses(alone: true);
        // The number that an `up` of before has left is nobody's.
        Assert.Null(first.Holder());
    }

    private void Refuses(bool alone)
    {
        using var other = new StateDirectory(_path);
        Assert.Equal(Errno.EBUSY, Assert.Throws<ErrnoException>(() => other.Take(alone)).Errno);
    }
}
