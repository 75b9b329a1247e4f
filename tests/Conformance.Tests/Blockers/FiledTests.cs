using System.Diagnostics;
using Archipelago.Conformance.Tests.Harness;
using Archipelago.Filed;
using Archipelago.Filed.Storage;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Blockers;

/// <summary>What concerns files only: who serves a directory, what survives, a disk that is full.</summary>
public sealed class FiledTests : IDisposable
{
    private static readonly byte[] Page = [.. Enumerable.Range(0, 4096).Select(i => (byte)(i | 1))];
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("archipelago-filed-");

    private FiledPeer Filed() => new(new FiledOptions { Directory = _directory.FullName });

    public void Dispose() => _directory.Delete(recursive: true);

    [Fact]
    public void A_second_filed_on_a_directory_is_refused_with_the_id_of_the_first()
    {
        using var first = BlockerHarness.Start(Filed);
        var refused = Assert.Throws<ErrnoException>(() => BlockerHarness.Start(Filed));
        Assert.Equal(Errno.EBUSY, refused.Errno);
        Assert.Contains($"process {Environment.ProcessId}", refused.Message);
        first.Write("a", 0, Page);
    }

    [Fact]
    public void A_directory_that_cannot_be_is_refused_with_its_path()
    {
        string file = Path.Combine(_directory.FullName, "file");
        File.WriteAllText(file, "");
        var refused = Assert.Throws<ErrnoException>(() => BlockerHarness.Start(() => new FiledPeer(new FiledOptions { Directory = Path.Combine(file, "x") })));
        Assert.Contains(file, refused.Message);
        // And what was taken before it failed was given back.
        using var harness = BlockerHarness.Start(Filed);
    }

    /// <summary>The kernel may stop a dying process's write between two pages.</summary>
    [Fact]
    public void A_replayed_swap_ends_the_write_that_its_predecessor_died_in()
    {
        using var blocker = BlockerHarness.Start(Filed);
        byte[] old = new byte[16384], fresh = [.. Page, .. Page, .. Page, .. Page];
        new Random(4).NextBytes(old);
        var swap = new Ask(XsegOp.Write, BlockerHarness.Name("torn"), 512, 32768) { Payload = [.. old, .. fresh], Flags = RequestFlags.Compare };
        byte[] torn = [.. fresh[..8192], .. old[8192..]];
        blocker.Write("torn", 512, torn);
        Assert.Equal(XsegErrno.EILSEQ, blocker.Do(swap).Status);
        Assert.Equal(0, blocker.Do(swap with { Attempts = 1 }).Status);
        Assert.Equal(fresh, blocker.Read("torn", 512, 16384).Data);
        // New bytes behind old ones are somebody else's.
        blocker.Write("torn", 512, [.. old[..8192], .. fresh[8192..]]);
        Assert.Equal(XsegErrno.EILSEQ, blocker.Do(swap with { Attempts = 1 }).Status);
    }

    [Fact]
    public void A_directory_whose_names_do_not_fit_into_a_listing_is_an_error()
    {
        using var blocker = BlockerHarness.Start(Filed);
        blocker.Write("a", 0, Page);
        string inside = Path.Combine(_directory.FullName, "objects", "00", "00");
        Directory.CreateDirectory(inside);
        for (int i = 0; i < 300; i++) File.WriteAllText(Path.Combine(inside, $"{i}{new string('x', 230)}"), "");
        var listing = new Ask(XsegOp.Read, [], 0, 64 << 10) { Flags = RequestFlags.List };
        Assert.Equal(XsegErrno.EOVERFLOW, blocker.Do(listing).Status);
        var whole = blocker.Do(listing with { Length = 1 << 20 });
        Assert.Equal((0, ulong.MaxValue), (whole.Status, BitConverter.ToUInt64(whole.Result)));
    }

    [Fact]
    public void An_invalidation_closes_what_is_stable_and_keeps_what_is_not()
    {
        using var blocker = BlockerHarness.Start(Filed);
        var filed = (FiledPeer)blocker.Blocker;
        blocker.Write("a", 0, Page);
        blocker.Good(XsegOp.Flush, "");
        blocker.Write("b", 0, Page);
        int known = 0;
        blocker.Good(XsegOp.Invalidate, "");
        blocker.OnBlocker(() => known = filed.KnownObjects);
        Assert.Equal(1, known);
        blocker.Good(XsegOp.Flush, "");
        blocker.Good(XsegOp.Invalidate, "");
        blocker.OnBlocker(() => known = filed.KnownObjects);
        Assert.Equal(0, known);
        Assert.Equal(Page, blocker.Read("b", 0, 4096).Data);
    }

    /// <summary>A link in its tree would make filed read, write or delete what is not its own.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Symbolic_links_in_its_tree_are_not_followed(int level)
    {
        var elsewhere = Directory.CreateTempSubdirectory("archipelago-filed-other-");
        try
        {
            using (var blocker = BlockerHarness.Start(Filed))
            {
                blocker.Write("a", 0, Page);
                blocker.Write("b", 0, Page);
                blocker.Good(XsegOp.Flush, "");
            }

            string path = Path.Combine(_directory.FullName, StoredObject(level, out string inside));
            string target = Path.Combine(elsewhere.FullName, "moved");
            Directory.Move(path, target);
            string secret = Path.Combine(target, inside);
            File.CreateSymbolicLink(path, target);
            using var next = BlockerHarness.Start(Filed);
            foreach (var op in (XsegOp[])[XsegOp.Info, XsegOp.Hash, XsegOp.Truncate, XsegOp.Discard])
                Assert.Equal((op, XsegErrno.EIO), (op, next.Do(new Ask(op, BlockerHarness.Name("a"), 0, 4096)).Status));
            Assert.Equal(XsegErrno.EIO, next.Do(new Ask(XsegOp.Read, BlockerHarness.Name("a"), 0, 4096)).Status);
            Assert.Equal(XsegErrno.EIO, next.Do(new Ask(XsegOp.Write, BlockerHarness.Name("a"), 0, 4096) { Payload = Page }).Status);
            // Of a link itself the name may go.
            Assert.Equal(level == 0 ? 0 : XsegErrno.EIO, next.Do(new Ask(XsegOp.Delete, BlockerHarness.Name("a"))).Status);
            Assert.Equal(Page, File.ReadAllBytes(secret.TrimEnd('/')));
            Assert.Equal(Page, next.Read("b", 0, 4096).Data);
        }
        finally
        {
            elsewhere.Delete(recursive: true);
        }
    }

    [Theory]
    [InlineData(ObjectTree.Objects)]
    [InlineData(ObjectTree.Temporary)]
    [InlineData(SwapLock.FileName)]
    [InlineData("lock")]
    public void A_link_in_place_of_its_own_directories_is_refused_at_the_start_and_nothing_behind_it_is_touched(string name)
    {
        var elsewhere = Directory.CreateTempSubdirectory("archipelago-filed-other-");
        try
        {
            string kept = Path.Combine(elsewhere.FullName, "kept");
            File.WriteAllText(kept, "kept");
            File.CreateSymbolicLink(Path.Combine(_directory.FullName, name), name.Contains("lock") ? kept : elsewhere.FullName);
            var refused = Assert.Throws<ErrnoException>(() => BlockerHarness.Start(Filed));
            Assert.Contains("symbolic link", refused.Message);
            Assert.Contains($"{_directory.FullName}/{name}", refused.Message);
            Assert.Equal("kept", File.ReadAllText(kept));
            Assert.Single(elsewhere.GetFileSystemInfos());
        }
        finally
        {
            elsewhere.Delete(recursive: true);
        }
    }

    /// <summary>The path of object "a" (level 0) or of a directory above it, and what is left of the path.</summary>
    private static string StoredObject(int level, out string inside)
    {
        string whole = ObjectTree.PathOf(Hash128.Of("a"u8), "a"u8), path = whole;
        for (; level > 0; level--) path = path[..path.LastIndexOf('/')];
        inside = whole[path.Length..].TrimStart('/');
        return path;
    }

    [Fact]
    public void Objects_and_locks_survive_a_restart_and_unfinished_files_do_not()
    {
        byte[] cookie = new byte[64];
        using (var blocker = BlockerHarness.Start(Filed))
        {
            blocker.Write("a", 5000, Page);
            blocker.Write("b", 0, Page);
            blocker.Good(XsegOp.Delete, "b");
            blocker.Good(new Ask(XsegOp.Acquire, BlockerHarness.Name("lock")) { Cookie = cookie });
        }

        string left = Path.Combine(_directory.FullName, ObjectTree.Temporary, "7");
        File.WriteAllText(left, "half");
        using (var blocker = BlockerHarness.Start(Filed))
        {
            Assert.False(File.Exists(left));
            Assert.Equal(Page, blocker.Read("a", 5000, 4096).Data);
            Assert.Null(blocker.Info("b"));
            Assert.Equal(XsegErrno.EBUSY, blocker.Do(new Ask(XsegOp.Acquire, BlockerHarness.Name("lock")) { Cookie = Page[..64], Flags = RequestFlags.NoSync }).Status);
            blocker.Good(new Ask(XsegOp.Release, BlockerHarness.Name("lock")) { Cookie = cookie });
        }
    }

    [Fact]
    public void A_slot_whose_hash_is_not_that_of_its_name_is_refused()
    {
        using var blocker = BlockerHarness.Start(Filed);
        Assert.Equal(XsegErrno.EBADMSG, blocker.Do(new Ask(XsegOp.Write, BlockerHarness.Name("a"), 0, 4096) { Payload = Page, WrongHash = true }).Status);
        Assert.Equal(XsegErrno.EBADMSG, blocker.Do(new Ask(XsegOp.Read, BlockerHarness.Name("a"), 0, 4096) { WrongHash = true }).Status);
        Assert.Null(blocker.Info("a"));
    }

    [Fact]
    public void A_successor_in_the_same_segment_answers_what_the_dead_one_had_in_hand()
    {
        using var blocker = BlockerHarness.Start(Filed);
        blocker.Write("a", 0, Page);
        blocker.KillBlocker();
        var waiting = blocker.Issue([.. Enumerable.Range(1, 20).Select(i => new Ask(XsegOp.Write, BlockerHarness.Name("a"), (ulong)i * 4096, 4096) { Payload = Page })]);
        blocker.StartBlocker(Filed());
        Assert.All(HostThread.Wait(waiting), reply => Assert.Equal(0, reply.Status));
        Assert.Equal(21 * 4096ul, blocker.Info("a"));
        blocker.Good(XsegOp.Flush, "");
    }

    [Fact]
    public void Idle_files_are_closed_and_found_again()
    {
        using var blocker = BlockerHarness.Start(() => new FiledPeer(new FiledOptions { Directory = _directory.FullName, OpenFiles = 16 }));
        for (int i = 0; i < 100; i++) blocker.Write($"object{i}", (ulong)i, Page);
        blocker.Good(XsegOp.Flush, "", flow: 0);
        for (int i = 0; i < 100; i++) Assert.Equal(Page, blocker.Read($"object{i}", (ulong)i, 4096).Data);
        int known = 0;
        blocker.OnBlocker(() => known = ((FiledPeer)blocker.Blocker).KnownObjects);
        Assert.InRange(known, 1, 17);
    }

    [Fact]
    public void Deleting_what_is_not_there_leaves_nothing_to_remember()
    {
        using var blocker = BlockerHarness.Start(() => new FiledPeer(new FiledOptions { Directory = _directory.FullName }));
        for (int i = 0; i < 100; i++) blocker.Good(XsegOp.Delete, $"object{i}");
        int known = -1;
        blocker.OnBlocker(() => known = ((FiledPeer)blocker.Blocker).KnownObjects);
        Assert.Equal(0, known);
    }

    [Theory]
    [InlineData("plain-Name_1.x", "plain-Name_1.x")]
    [InlineData(".hidden", "%2Ehidden")]
    [InlineData("a/b c", "a%2Fb%20c")]
    public void A_name_becomes_a_path_that_people_can_read(string name, string path) =>
        Assert.Equal(path, FileNames.Encode(BlockerHarness.Name(name)));

    [Fact]
    public void Every_name_is_found_again_in_its_path_whose_parts_are_short()
    {
        var random = new Random(1);
        for (int i = 0; i < 3000; i++)
        {
            byte[] name = new byte[random.Next(1, 257)];
            random.NextBytes(name);
            if (i % 2 == 0) Array.Fill(name, (byte)'.', 0, random.Next(name.Length));
            if (i % 3 == 0) for (int at = 0; at < name.Length; at++) name[at] = (byte)('a' + name[at] % 26);
            string path = FileNames.Encode(name);
            Assert.All(path.Split('/'), part => Assert.True(part.Length is > 0 and < 255 && part[0] != '.', part));
            Assert.True(FileNames.TryDecode(path, out byte[] found));
            Assert.Equal(name, found);
        }

        foreach (string other in (string[])["", "%4", "%zz", "%41", "a b"]) Assert.False(FileNames.TryDecode(other, out _));
    }

    [Fact]
    public void A_full_disk_is_ENOSPC_and_what_was_there_stays()
    {
        Run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", _directory.FullName);
        try
        {
            using var blocker = BlockerHarness.Start(Filed);
            blocker.Write("a", 0, Page);
            byte[] much = new byte[2 << 20];
            Array.Fill(much, (byte)7);
            Assert.Equal(XsegErrno.ENOSPC, blocker.Do(new Ask(XsegOp.Write, BlockerHarness.Name("b"), 0, (ulong)much.Length) { Payload = much }).Status);
            Assert.Equal(Page, blocker.Read("a", 0, 4096).Data);
            blocker.Good(XsegOp.Delete, "b");
            blocker.Write("b", 0, much[..100_000]);
            Assert.Equal(XsegErrno.ENOSPC, blocker.Do(new Ask(XsegOp.Write, BlockerHarness.Name("c"), 0, (ulong)much.Length) { Payload = much }).Status);
            Assert.Equal(XsegErrno.ENOSPC, blocker.Do(new Ask(XsegOp.Copy, BlockerHarness.Name("d"), 0, 4 << 20) { Source = BlockerHarness.Name("c") }).Status);
            Assert.Null(blocker.Info("d"));
            Assert.Equal(much[..100_000], blocker.Read("b", 0, 100_000).Data);
        }
        finally
        {
            Run("umount", _directory.FullName);
        }
    }

    internal static void Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: {error}");
    }
}
