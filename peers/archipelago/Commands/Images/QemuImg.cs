using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Archipelago.Cli.CommandLine;
using Archipelago.Runtime;

namespace Archipelago.Cli.Commands.Images;

/// <summary>Runs `qemu-img`.</summary>
internal static partial class QemuImg
{
    /// <summary>An image as qemu-img sees it.</summary>
    internal sealed record Info(string Format, long Size, string? Backing);

    /// <summary>What a file is.</summary>
    /// <exception cref="ErrnoException">It cannot be read, or qemu-img is not there.</exception>
    internal static async Task<Info> InspectAsync(string file, string? format, CancellationToken cancel)
    {
        if (Directory.Exists(file)) throw new ErrnoException(Errno.EISDIR, $"{file} is a directory: name the image file");
        if (!File.Exists(file)) throw new ErrnoException(Errno.ENOENT, $"{file}: there is no such file");
        string[] arguments = ["info", "--output=json", .. format is null ? (string[])[] : ["-f", format], file];
        var (code, output, error) = await TryRunAsync(arguments, cancel);
        if (code != 0 && error.Contains("Unknown driver", StringComparison.Ordinal))
            throw new UsageException($"--format: qemu-img knows no format {format}; expected raw, qcow2, or another one that `qemu-img --help` lists");
        if (code != 0) throw Failed(arguments, code, error);
        using var document = JsonDocument.Parse(output);
        var root = document.RootElement;
        string found = root.GetProperty("format").GetString()!;
        string? backing = root.TryGetProperty("backing-filename", out var name) ? name.GetString() : null;
        // The data of such an image is in another file, which its header names.
        if (backing is null && root.TryGetProperty("format-specific", out var specific) && specific.TryGetProperty("data", out var data) && data.TryGetProperty("data-file", out var external))
            backing = external.GetString();
        return new Info(found, root.GetProperty("virtual-size").GetInt64(), backing);
    }

    /// <summary>A part of an image, as a node for --image-opts.</summary>
    internal static string FileNode(string file, string format, long offset, long length) =>
        $"driver=raw,offset={offset},size={length},file.driver={format},file.file.driver=file,file.file.filename={Escape(Path.GetFullPath(file))}";

    /// <summary>A part of a raw file that is the image itself.</summary>
    internal static string RawNode(string file, long offset, long length) =>
        $"driver=raw,offset={offset},size={length},file.driver=file,file.filename={Escape(Path.GetFullPath(file))}";

    /// <summary>A whole image.</summary>
    internal static string WholeNode(string file, string format) => $"driver={format},file.driver=file,file.filename={Escape(Path.GetFullPath(file))}";

    internal static string NodeOf(string file, string format, long offset, long length) =>
        format == "raw" ? RawNode(file, offset, length) : FileNode(file, format, offset, length);

    /// <summary>A comma ends a value; two are one.</summary>
    internal static string Escape(string value) => value.Replace(",", ",,", StringComparison.Ordinal);

    /// <summary>Runs it; its output. <paramref name="percent"/>: told how far it is, which it says where it gets -p.</summary>
    internal static async Task<string> RunAsync(string[] arguments, CancellationToken cancel, Action<double>? percent = null)
    {
        var (code, output, error) = await TryRunAsync(arguments, cancel, percent);
        return code == 0 ? output : throw Failed(arguments, code, error);
    }

    internal static ErrnoException Failed(string[] arguments, int code, string error) =>
        new(Errno.EIO, $"qemu-img {arguments[0]} ended with {code}: {(error.Trim() is { Length: > 0 } text ? text.Replace("\n", "; ", StringComparison.Ordinal) : "it did not say why")}");

    /// <summary>Runs it to its end, whatever that is.</summary>
    internal static async Task<(int Code, string Output, string Error)> TryRunAsync(string[] arguments, CancellationToken cancel, Action<double>? percent = null)
    {
        using var process = Start(arguments);
        try
        {
            process.StandardInput.Close();
            var output = percent is null ? process.StandardOutput.ReadToEndAsync(cancel) : FollowAsync(process.StandardOutput, percent, cancel);
            var error = process.StandardError.ReadToEndAsync(cancel);
            await process.WaitForExitAsync(cancel);
            return (process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException)
        {
            // It must not go on writing when we say that it has ended.
            if (!process.HasExited) process.Kill();
            await process.WaitForExitAsync(CancellationToken.None);
            throw;
        }
    }

    /// <summary>Reads its output, and of that tells each <c>(12.50/100%)</c>.</summary>
    private static async Task<string> FollowAsync(TextReader from, Action<double> percent, CancellationToken cancel)
    {
        var all = new StringBuilder();
        var part = new char[256];
        int seen = 0;
        while (await from.ReadAsync(part, cancel) is var read and > 0)
        {
            all.Append(part, 0, read);
            string fresh = all.ToString(seen, all.Length - seen);
            if (Percent().Matches(fresh) is not { Count: > 0 } matches) continue;
            seen += matches[^1].Index + matches[^1].Length;
            percent(double.Parse(matches[^1].Groups[1].Value, CultureInfo.InvariantCulture));
        }

        return all.ToString();
    }

    [GeneratedRegex(@"\(([0-9.]{1,8})/100%\)")]
    private static partial Regex Percent();

    private static Process Start(string[] arguments)
    {
        var start = new ProcessStartInfo("qemu-img") { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception e)
        {
            throw new ErrnoException(Errno.ENOENT, "the program qemu-img cannot be started, with which images are read and written: install it (Debian: `apt install qemu-utils`)", e);
        }
    }
}
