using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Archipelago.Cli.CommandLine;
using Archipelago.Runtime;

namespace Archipelago.Cli.Commands.Images;

/// <summary>Moves an image part by part, each by a qemu-img of its own, and notes what is done. Signals end it in order.</summary>
internal sealed partial class Transfer : IDisposable
{
    private readonly CancellationTokenSource _cancel;
    private readonly PosixSignalRegistration[] _signals;

    internal Transfer(CancellationToken cancel)
    {
        _cancel = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        _signals = [.. new[] { PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP }.Select(signal => PosixSignalRegistration.Create(signal, context =>
        {
            context.Cancel = true;
            _cancel.Cancel();
        }))];
    }

    internal CancellationToken Token => _cancel.Token;

    /// <summary>Copies what is not done yet. <paramref name="isBlank"/>: what has not been written reads as zeros, so zeros need not be written.</summary>
    internal async Task<TransferState> CopyAsync(
        TransferState state, string notes, long step, bool isBlank, Func<long, long, string> from, Func<long, long, string> to, Func<Task> makeStable)
    {
        using var progress = new Progress($"{state.Volume} {state.File}", Invocation.Size);
        // What a part that was cut off has left there is not known.
        for (bool isFirst = true; state.Done < state.Size; isFirst = false)
        {
            _cancel.Token.ThrowIfCancellationRequested();
            long length = Math.Min(step, state.Size - state.Done);
            bool skipsZeros = isBlank || !isFirst;
            await QemuImg.RunAsync(
                [
                    "convert", "-p", "-n", "-t", "writeback", "-m", "8", .. skipsZeros ? (string[])["--target-is-zero"] : [], "--image-opts", from(state.Done, length), "--target-image-opts", to(state.Done, length),
                ], _cancel.Token, part => progress.Report(state.Done + length * part / 100, state.Size));
            await makeStable();
            state = state with { Done = state.Done + length };
            state.Save(notes);
            progress.Report(state.Done, state.Size);
        }

        return state;
    }

    /// <summary>Compares both.</summary>
    /// <exception cref="ErrnoException">EIO: they differ.</exception>
    internal async Task CompareAsync(long size, long step, Func<long, long, string> one, Func<long, long, string> other)
    {
        using var progress = new Progress("comparing", Invocation.Size);
        for (long done = 0; done < size; done += step)
        {
            long length = Math.Min(step, size - done);
            string[] arguments = ["compare", "-p", "--image-opts", one(done, length), other(done, length)];
            var (code, output, error) = await QemuImg.TryRunAsync(arguments, _cancel.Token, part => progress.Report(done + length * part / 100, size));
            if (code > 1) throw QemuImg.Failed(arguments, code, error);
            if (code == 1)
            {
                string where = Offset().Match(output) is { Success: true } match ? $"first at byte {done + long.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture)}" : output.Trim();
                throw new ErrnoException(Errno.EIO, $"volume and image differ, {where}");
            }

            progress.Report(done + length, size);
        }
    }

    public void Dispose()
    {
        foreach (var signal in _signals) signal.Dispose();
        _cancel.Dispose();
    }

    [GeneratedRegex("offset ([0-9]+)")]
    private static partial Regex Offset();
}
