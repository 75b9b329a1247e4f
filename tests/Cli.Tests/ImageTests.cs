using System.Diagnostics;

using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>Images that become volumes, and volumes that become images.</summary>
public sealed class ImageTests : IDisposable
{
    private const string Rest = "[cached]\nsize = 32M\n[mapperd]\n[vlmcd]\n[nbd]\n[segment]\nspare = 4096\n";
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void Raw_and_qcow2_images_come_back_as_they_went_in_and_holes_stay_holes()
    {
        Up("[memd]\n");
        string raw = Image("a.raw"), qcow = Path.Combine(_chain.Root, "b,1.qcow2");
        _chain.Execute("qemu-img", "convert", "-O", "qcow2", raw, qcow).Good();
        var first = _chain.Run("volume", "import", raw, "one", "--verify", "--step", "8M", "--json").Good().Json;
        Assert.True(first.GetProperty("verified").GetBoolean());
        Assert.Equal("raw", first.GetProperty("format").GetString());
        Assert.Contains("24 MiB", _chain.Run("volume", "import", qcow, "two", "--verify").Good().Output, StringComparison.Ordinal);
        // Objects 0 and 4 of six hold something.
        Assert.Equal(2, _chain.Run("volume", "du", "two", "--json").Good().Json.GetProperty("versions")[0].GetProperty("ownObjects").GetInt32());

        string back = Path.Combine(_chain.Root, "back.raw"), small = Path.Combine(_chain.Root, "back.qcow2");
        Assert.Contains("compared", _chain.Run("volume", "export", "two", back, "--verify").Good().Output, StringComparison.Ordinal);
        _chain.Run("volume", "export", "one", small, "--verify", "--step", "4M").Good();
        Assert.Equal(File.ReadAllBytes(raw), File.ReadAllBytes(back));
        _chain.Execute("qemu-img", "compare", raw, small).Good();
        Assert.True(new FileInfo(small).Length < 8 << 20);
        Assert.False(File.Exists(back + ".export"));

        // A snapshot stays what it was, whatever comes later.
        _chain.Run("volume", "snapshot", "one@then").Good();
        _chain.Execute("qemu-io", "-f", "raw", "-c", "write -P 7 0 4k", "-c", "flush", _chain.Uri("one")).Good();
        string then = Path.Combine(_chain.Root, "then.raw");
        _chain.Run("volume", "export", "one@then", then, "--verify").Good();
        Assert.Equal(File.ReadAllBytes(raw), File.ReadAllBytes(then));
        Assert.Empty(Directory.GetFiles(_chain.State, "import.*"));
    }

    [Fact]
    public void What_cannot_be_imported_or_exported_is_refused_with_what_to_do()
    {
        Up("[memd]\n");
        string raw = Image("a.raw"), overlay = Path.Combine(_chain.Root, "o.qcow2"), empty = _chain.Write("empty", "");
        _chain.Execute("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", raw, overlay).Good();
        _chain.Run("volume", "import", raw, "one").Good();
        Refused("EEXIST", "--resume", "volume", "import", raw, "one");
        Refused("EEXIST", "no import of it was interrupted", "volume", "import", raw, "one", "--resume");
        Refused("EPERM", "--backing", "volume", "import", overlay, "two");
        Refused("ENOENT", "no such file", "volume", "import", raw + "x", "two");
        Refused("EINVAL", "empty", "volume", "import", empty, "two");
        Refused("EISDIR", "is a directory", "volume", "import", _chain.Root, "two");
        var format = _chain.Run("volume", "import", raw, "two", "--format", "foo");
        Assert.Equal(2, format.Code);
        Assert.Contains("knows no format foo", format.Error, StringComparison.Ordinal);
        Refused("EEXIST", "exists already", "volume", "export", "one", raw);
        Refused("EISDIR", "is a directory", "volume", "export", "one", _chain.Root);
        Refused("ENOENT", "there is no directory", "volume", "export", "one", Path.Combine(_chain.Root, "no", "one.raw"));
        Assert.Contains("has 5 bytes", _chain.Run("volume", "import", _chain.Write("short", "12345"), "short", "--format", "raw").Good().Error, StringComparison.Ordinal);
        Refused("ENOENT", "nobody", "volume", "export", "nobody", raw + "2");
        _chain.Run("volume", "import", overlay, "two", "--backing", "--verify").Good();
        // Without qemu-img: a path where nothing is.
        var missing = _chain.Execute("/usr/bin/env", "PATH=/nowhere", Chain.Executable, "volume", "import", raw, "three");
        Assert.Equal(1, missing.Code);
        Assert.Contains("apt install qemu-utils", missing.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("three", _chain.Run("volume", "list").Good().Output, StringComparison.Ordinal);
    }

    [Fact]
    public void An_interrupted_import_says_what_is_there_and_goes_on()
    {
        var up = Up("[memd]\nlatency = 30ms\n");
        string raw = Image("a.raw", full: true), notes = Path.Combine(_chain.State, "import.vol");
        using (var import = Process.Start(new ProcessStartInfo(Chain.Executable, ["volume", "import", raw, "vol", "--step", "1M", "--state", _chain.State]) { RedirectStandardError = true })!)
        {
            _chain.WaitFor(() => import.HasExited || (File.Exists(notes) && !File.ReadAllText(notes).Contains("\"done\": 0", StringComparison.Ordinal)), "the first part");
            // It must not come to its end before it hears of it.
            Chain.Signal(up, Chain.SigStop);
            // Not SIGINT: where the tests run in the background of a shell that is ignored.
            Chain.Signal(import, Chain.SigTerm);
            Thread.Sleep(200);
            Chain.Signal(up, Chain.SigContinue);
            string told = import.StandardError.ReadToEnd();
            import.WaitForExit();
            Assert.Equal(1, import.ExitCode);
            Assert.Contains("ECANCELED", told, StringComparison.Ordinal);
            Assert.Contains("imported. Go on with `archipelago volume import", told, StringComparison.Ordinal);
            Assert.Contains("volume delete vol", told, StringComparison.Ordinal);
            // What was said of where and how is said again.
            Assert.Contains($"{raw} vol --resume --step 1M --state {_chain.State}`", told, StringComparison.Ordinal);
        }

        string noted = File.ReadAllText(notes), other = Image("other.raw");
        Refused("EINVAL", "not from", "volume", "import", other, "vol", "--resume");
        var written = File.GetLastWriteTimeUtc(raw);
        File.SetLastWriteTimeUtc(raw, written.AddSeconds(1));
        Refused("ESTALE", "has changed", "volume", "import", raw, "vol", "--resume");
        File.SetLastWriteTimeUtc(raw, written);
        _chain.Run("volume", "import", raw, "vol", "--resume", "--verify", "--step", "4M").Good();
        Assert.False(File.Exists(notes));

        // Taken back, and gone on with by mistake.
        File.WriteAllText(notes, noted);
        _chain.Run("volume", "delete", "vol").Good();
        Refused("ENOENT", "import it without --resume", "volume", "import", raw, "vol", "--resume");
        _chain.Run("volume", "import", raw, "vol").Good();
    }

    [Fact]
    public void An_import_that_is_interrupted_before_it_begins_says_so_in_one_line()
    {
        Up("[memd]\n");
        string raw = Image("a.raw"), programs = Directory.CreateDirectory(Path.Combine(_chain.Root, "bin")).FullName, began = Path.Combine(_chain.Root, "began");
        // Hangs where the image is looked at, as on a file system that does not answer.
        string slow = Path.Combine(programs, "qemu-img");
        File.WriteAllText(slow, $"#!/bin/sh\necho >{began}\nexec sleep 600\n");
        File.SetUnixFileMode(slow, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var start = new ProcessStartInfo(Chain.Executable, ["volume", "import", raw, "vol", "--state", _chain.State]) { RedirectStandardError = true };
        start.Environment["PATH"] = $"{programs}:{Environment.GetEnvironmentVariable("PATH")}";
        using var import = Process.Start(start)!;
        _chain.WaitFor(() => import.HasExited || File.Exists(began), "qemu-img");
        Chain.Signal(import, Chain.SigTerm);
        Assert.Equal("archipelago: ECANCELED: interrupted\n", import.StandardError.ReadToEnd());
        import.WaitForExit();
        Assert.Equal(1, import.ExitCode);
        Assert.Single(_chain.Run("volume", "list").Good().Output.TrimEnd().Split('\n'));
    }

    private Process Up(string store) => _chain.Start("up", "--config", _chain.Write("c.conf", store + Rest));

    /// <summary>24 MiB, of which 1 MiB and 64 KiB hold something, or all.</summary>
    private string Image(string name, bool full = false)
    {
        string path = Path.Combine(_chain.Root, name);
        var bytes = new byte[24 << 20];
        new Random(1).NextBytes(full ? bytes : bytes.AsSpan(1 << 20, 1 << 20));
        new Random(2).NextBytes(bytes.AsSpan(18 << 20, 64 << 10));
        File.WriteAllBytes(path, bytes);
        return path;
    }

    private void Refused(string errno, string why, params string[] command)
    {
        var outcome = _chain.Run(command);
        Assert.Equal(1, outcome.Code);
        Assert.Contains(errno + ":", outcome.Error, StringComparison.Ordinal);
        Assert.Contains(why, outcome.Error, StringComparison.Ordinal);
    }
}
