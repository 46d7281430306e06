/* The grid of targets: sums, what does not fit, and the drift against present weights, as one types. */
"use strict";

{
    const form = document.querySelector("form.targets-form");
    const body = document.getElementById("target-lines");
    const state = document.getElementById("targets-state");
    const total = form.querySelector("[name=lines-TOTAL_FORMS]");
    const { weights, cash: cashWeight } = JSON.parse(document.getElementById("targets-live").textContent);
    const SMALLEST = 0.0000005; /* half of the last decimal that is stored */

    /* NaN for what is no number; what an empty field means is `empty`. */
    const read = (input, empty) => (input.value.trim() === "" && !input.validity.badInput ? empty : Number(input.value || NaN));
    const shown = (value, signed = false) => {
        if (value === null || Number.isNaN(value)) {
            return "–";
        }
        const digits = Math.abs(value).toFixed(2);
        const sign = value < 0 && Number(digits) ? "−" : signed && Number(digits) ? "+" : "";
        return sign + digits;
    };
    const plain = (value) => String(Math.round(value * 1e6) / 1e6).replace("-", "−");
    const write = (row, name, value, signed) => {
        const place = row.querySelector(`[data-shown=${name}]`);
        place.textContent = shown(value, signed);
        place.classList.toggle("negative", Boolean(signed) && value < -0.005);
    };

    const lineOf = (row) => {
        const field = (name) => row.querySelector(`[name$="-${name}"]:not([name^=initial])`);
        const symbol = field("symbol").value.trim();
        return {
            row,
            symbol,
            removed: field("DELETE").checked,
            target: read(field("target_percentage"), symbol ? NaN : 0),
            min: read(field("min_percentage"), 0),
            max: read(field("max_percentage"), 100),
        };
    };

    const faultOf = ({ symbol, target, min, max }) => {
        if (Number.isNaN(target)) {
            return `${symbol} has no target`;
        }
        if (Number.isNaN(min) || Number.isNaN(max) || min < 0 || max > 100) {
            return `${symbol}: limits must be between 0 and 100`;
        }
        if (min > target) {
            return `${symbol}: min is above the target`;
        }
        return target > max ? `${symbol}: max is below the target` : "";
    };

    const describe = (lines, sums, cash, drift) => {
        const away = 100 - sums.target;
        const words = [];
        if (Number.isNaN(cash) || cash < 0 || cash > 100) {
            words.push("The cash target must be between 0 and 100.");
        } else if (Number.isNaN(sums.target)) {
            words.push("A target is missing.");
        } else if (Math.abs(away) > SMALLEST) {
            words.push(`Sum ${plain(sums.target)} %: ${plain(Math.abs(away))} ${away > 0 ? "short of" : "above"} 100.`);
        }
        const faults = lines.map(faultOf).filter(Boolean);
        words.push(...faults.slice(0, 3).map((fault) => `${fault}.`));
        if (faults.length > 3) {
            words.push(`And ${faults.length - 3} more lines.`);
        }
        const twice = lines.map((line) => line.symbol).find((name, place, all) => all.indexOf(name) < place);
        if (twice) {
            words.push(`${twice} has two lines.`);
        }
        if (sums.min + cash > 100 + SMALLEST) {
            words.push(`The sum of the mins and cash is above 100: ${plain(sums.min + cash)}.`);
        }
        if (sums.max + cash < 100 - SMALLEST) {
            words.push(`The sum of the maxes and cash is below 100: ${plain(sums.max + cash)}.`);
        }
        const fits = words.length === 0;
        const drifted = drift === null ? "" : ` Drift of the whole: ${shown(drift)} %.`;
        return [fits, (fits ? "The targets make 100 % and fit their limits." : words.join(" ")) + drifted];
    };

    /* What a screen reader hears waits until the typing pauses. */
    let timer;
    const say = (fits, words) => {
        state.parentElement.classList.toggle("is-unfit", !fits);
        clearTimeout(timer);
        timer = setTimeout(() => {
            if (state.textContent !== words) {
                state.textContent = words;
            }
        }, 400);
    };

    const update = () => {
        const all = [...body.rows].map(lineOf);
        for (const line of all) {
            line.row.classList.toggle("is-removed", line.removed);
            const weight = line.symbol in weights ? weights[line.symbol] : cashWeight === null ? null : 0;
            const isKnown = line.symbol !== "" && weight !== null;
            write(line.row, "weight", isKnown ? weight : null);
            write(line.row, "drift", isKnown && !line.removed ? weight - line.target : null, true);
        }
        const lines = all.filter((line) => line.symbol && !line.removed);
        const cash = read(form.elements.cash, NaN);
        const cashRow = form.querySelector(".target-cash");
        write(cashRow, "weight", cashWeight);
        write(cashRow, "drift", cashWeight === null ? null : cashWeight - cash, true);

        const sum = (name) => lines.reduce((found, line) => found + line[name], 0);
        const sums = { target: sum("target") + cash, min: sum("min"), max: sum("max") };
        for (const name of ["target", "min", "max"]) {
            form.querySelector(`[data-sum=${name}_percentage]`).textContent = shown(sums[name]);
        }
        let drift = null;
        if (cashWeight !== null) {
            const targets = Object.fromEntries(lines.map((line) => [line.symbol, line.target]));
            const names = new Set([...Object.keys(weights), ...Object.keys(targets)]);
            drift = Math.abs(cashWeight - cash);
            names.forEach((name) => {
                drift += Math.abs((weights[name] ?? 0) - (targets[name] ?? 0));
            });
            drift = Number.isNaN(drift) ? null : drift / 2;
        }
        say(...describe(lines, sums, cash, drift));
    };

    document.getElementById("add-line").addEventListener("click", (event) => {
        event.preventDefault();
        const number = Number(total.value);
        const holder = document.createElement("tbody");
        holder.innerHTML = document.getElementById("target-line").innerHTML.replaceAll("__prefix__", number);
        const row = holder.rows[0];
        body.append(row);
        total.value = number + 1;
        row.querySelector("[name$='-symbol']").focus();
        update();
    });
    form.addEventListener("input", update);
    form.addEventListener("change", update);

    /* Leaving with unsaved changes asks first. */
    let isDirty = document.querySelector(".targets-conflict, .targets-form .errornote") !== null;
    form.addEventListener("input", () => {
        isDirty = true;
    });
    form.addEventListener("submit", () => {
        isDirty = false;
    });
    window.addEventListener("beforeunload", (event) => {
        if (isDirty) {
            event.preventDefault();
        }
    });
    update();
}
