using System.Runtime.CompilerServices;

namespace Archipelago.Xseg.Memory;

/// <summary>
/// Every store to the segment goes through here, so that a test can stop a protocol before store k = 0, 1, 2 … and look at
/// what recovery makes of it (design 10). In production <see cref="Armed"/> is a constant false for the JIT and the seam
/// costs nothing. Stores have release, loads acquire semantics; on x64 both are plain moves.
/// </summary>
public static unsafe class Shared
{
    /// <summary>Name of the runtime switch that arms the seam: tests only.</summary>
    public const string ArmSwitch = "Archipelago.Xseg.CrashPoints";

    /// <summary>True where crash points are counted.</summary>
    public static readonly bool Armed = AppContext.TryGetSwitch(ArmSwitch, out bool armed) && armed;

    /// <summary>Stores 8 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(ref ulong at, ulong value)
    {
        if (Armed) CrashPoint.BeforeStore();
        Volatile.Write(ref at, value);
    }

    /// <summary>Stores 4 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(ref uint at, uint value)
    {
        if (Armed) CrashPoint.BeforeStore();
        Volatile.Write(ref at, value);
    }

    /// <summary>Stores 2 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(ref ushort at, ushort value)
    {
        if (Armed) CrashPoint.BeforeStore();
        Volatile.Write(ref at, value);
    }

    /// <summary>Stores a byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(ref byte at, byte value)
    {
        if (Armed) CrashPoint.BeforeStore();
        Volatile.Write(ref at, value);
    }

    /// <summary>Copies bytes in, as one crash point: readers must not need them to arrive together.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(ReadOnlySpan<byte> from, byte* to)
    {
        if (Armed) CrashPoint.BeforeStore();
        from.CopyTo(new Span<byte>(to, from.Length));
    }

    /// <summary>Compare-and-swap; true if <paramref name="at"/> held <paramref name="expected"/> and now holds <paramref name="value"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TrySwap(ref ulong at, ulong expected, ulong value)
    {
        if (Armed) CrashPoint.BeforeStore();
        return Interlocked.CompareExchange(ref at, value, expected) == expected;
    }

    /// <summary>As <see cref="TrySwap(ref ulong, ulong, ulong)"/>, for 4 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TrySwap(ref uint at, uint expected, uint value)
    {
        if (Armed) CrashPoint.BeforeStore();
        return Interlocked.CompareExchange(ref at, value, expected) == expected;
    }

    /// <summary>Adds one and returns the new value.</summary>
    public static ulong Increment(ref ulong at)
    {
        if (Armed) CrashPoint.BeforeStore();
        return Interlocked.Increment(ref at);
    }

    /// <summary>Sets bits.</summary>
    public static void Or(ref ulong at, ulong bits)
    {
        if (Armed) CrashPoint.BeforeStore();
        Interlocked.Or(ref at, bits);
    }

    /// <summary>Counts for statistics: one writer, no crash point, nothing depends on it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Count(ref ulong at) => at++;
}

/// <summary>Where a test lets a simulated peer die. Per thread; does nothing unless <see cref="Shared.Armed"/>.</summary>
public static class CrashPoint
{
    [ThreadStatic] private static long t_left;
    [ThreadStatic] private static bool t_counting;
    [ThreadStatic] private static bool t_dead;

    /// <summary>Stores that this thread has made since <see cref="Arm"/>.</summary>
    [field: ThreadStatic]
    public static long Stores { get; private set; }

    /// <summary>True from the simulated death on, also where the exception of it was swallowed.</summary>
    public static bool Died => t_dead;

    /// <summary>Lets this thread make <paramref name="stores"/> stores and dies before the next one.</summary>
    public static void Arm(long stores)
    {
        if (!Shared.Armed) throw new InvalidOperationException("the store seam is not armed in this process");
        (t_left, t_counting, t_dead, Stores) = (stores, true, false, 0);
    }

    /// <summary>Back to life: what runs from here on is another process.</summary>
    public static void Disarm() => (t_counting, t_dead) = (false, false);

    internal static void BeforeStore()
    {
        if (!t_counting) return;
        // Once dead, every later store dies too: the finally blocks that the exception runs must change nothing.
        if (t_dead || t_left-- == 0)
        {
            t_dead = true;
            throw new CrashException();
        }

        Stores++;
    }
}

/// <summary>The simulated kill -9.</summary>
public sealed class CrashException : Exception
{
    /// <summary>Makes one.</summary>
    public CrashException() : base("killed before a store by the test") { }
}
